"""What the manual shows is what the code takes: examples load, tables are complete."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from compute import environments
from compute.status import STATUS
from compute.store.database import open_database
from provider.assets import trust
from provider.assets.ddo import Ddo
from provider.assets.encryption import open_files
from provider.assets.files import MODELS
from provider.chain.configured import HINTS as CHAIN_VARIABLES
from provider.cli.commands import app
from provider.cli.output import print_line
from provider.client.models import RawAlgorithm
from provider.dialects.ocean.responses import ROUTES
from provider.keys import ProviderKey
from provider.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text()
CONSUMERS = (ROOT / "docs" / "consumers.md").read_text()
OPERATORS = (ROOT / "docs" / "operators" / "README.md").read_text()
CHAINS = (ROOT / "docs" / "operators" / "chains.md").read_text()
ASSETS = (ROOT / "docs" / "operators" / "assets.md").read_text()
SHIPPED = (ROOT / "environments.yaml").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def first_cells(page: str) -> list[str]:
    return re.findall(r"^\| ([^|]+?) \|", page, re.MULTILINE)


def described(kind: str) -> Any:
    documents = [json.loads(block) for block in blocks(ASSETS, "json")]
    return next(each for each in documents if each.get("metadata", {}).get("type") == kind)


def part(key: str) -> Any:
    """The example that shows a part of a document: the one that begins with this key."""
    parts = [json.loads(block) for block in blocks(ASSETS, "json")]
    return next(each for each in parts if next(iter(each)) == key)


def command(page: str, word: str) -> str:
    """The shell example in which the word stands."""
    return next(block for block in blocks(page, "sh") if word in block)


def shell(text: str, folder: Path) -> str:
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("kind", ["dataset", "algorithm"])
def test_the_example_of_an_asset_loads_as_it_stands(kind: str) -> None:
    ddo = Ddo.parse(described(kind))
    assert ddo.type == kind
    for service in ddo.services:
        assert open_files(ddo, service, ProviderKey.generate())


def test_the_first_example_is_what_the_readme_computes_with() -> None:
    """A dataset with the README's file, id and service, open to a raw algorithm."""
    raw = json.loads(blocks(ASSETS, "json")[0])
    ddo = Ddo.parse(raw)
    [service] = ddo.services
    assert service.compute.allow_raw_algorithm
    assert raw["services"][0]["files"]["files"] == [{"type": "localfile", "path": "patients.csv"}]
    assert "> files/patients.csv" in README
    assert f"did={ddo.id}\n" in README
    assert f'"$did#{service.id}"' in README
    assert list(environments.parse(SHIPPED, "environments.yaml")) == ["small"]
    assert "--environment small" in README


def test_the_algorithm_of_the_readme_runs_on_its_data(tmp_path: Path) -> None:
    inputs, outputs = tmp_path / "inputs", tmp_path / "outputs"
    (tmp_path / "files").mkdir()
    inputs.mkdir()
    outputs.mkdir()
    printf = next(line for line in README.splitlines() if line.startswith("printf"))
    shell(printf, tmp_path)
    (tmp_path / "files" / "patients.csv").rename(inputs / "patients.csv")
    path = tmp_path / "train.py"
    path.write_text(blocks(README, "python")[0])
    code = RawAlgorithm.from_file(path, image="python").code
    exec(code.replace("/data", str(tmp_path)), {"print": print_line})
    assert (outputs / "count.txt").read_text() == "2 patients\n"


def test_files_with_headers_are_valid() -> None:
    document = described("dataset")
    document["services"][0]["files"] = part("files")
    ddo = Ddo.parse(document)
    found = open_files(ddo, ddo.services[0], ProviderKey.generate())
    assert {each.type for each in found} == MODELS.keys() - {"file"}


def test_encrypted_files_open_in_the_document_that_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = ProviderKey.generate()
    key.save(tmp_path / "provider.key")
    [example] = blocks(ASSETS, "python")
    exec(example.replace('"provider.key"', repr(str(tmp_path / "provider.key"))), {})
    shown = part("version")
    shown["services"][0]["files"] = capsys.readouterr().out.strip()
    document = described("dataset")
    document |= shown | {"services": [document["services"][0] | shown["services"][0]]}
    ddo = Ddo.parse(document)
    assert len(open_files(ddo, ddo.services[0], key)) == 1


def test_declared_parameters_are_valid() -> None:
    document = described("dataset")
    document["services"][0] |= part("consumerParameters")
    [declared] = Ddo.parse(document).services[0].consumer_parameters
    assert (declared.name, declared.default) == ("year", 2024)


def test_the_commands_for_checksums_print_what_a_trust_list_demands(tmp_path: Path) -> None:
    (tmp_path / "survival.py").write_text("print(1)")
    digest = hashlib.sha256(b"print(1)").hexdigest()
    files = shell(command(ASSETS, "sha256sum survival.py"), tmp_path)
    container = shell(command(ASSETS, "printf %s"), tmp_path)
    entrypoint, checksum = "python3 $ALGO", "sha256:…"
    assert files == trust.files_checksum([digest])
    assert container == trust.container_checksum(entrypoint, checksum)

    algorithm = Ddo.parse(described("algorithm"))
    document = described("dataset")
    document["services"][0]["compute"] = part("allowRawAlgorithm")
    text = json.dumps(document).replace('"FILES"', f'"{files}"')
    rules = Ddo.parse(json.loads(text.replace('"CONTAINER"', f'"{container}"'))).services[0].compute
    facts = trust.AlgorithmFacts(algorithm.id, "access", "", "", files, container)
    assert trust.untrusted(rules, facts) is None
    assert trust.raw_refused(rules) == trust.NO_RAW


def test_an_image_has_one_name_everywhere() -> None:
    compose = (ROOT / "docker-compose.yaml").read_text()
    assert "image: ocean-compute:local\n" in compose
    run = command(OPERATORS, "docker run")
    assert run.rstrip().endswith("\n  ocean-compute:local")
    assert "--user 1000:1000" in run
    assert "docker build -t ocean-compute:local ." in OPERATORS


async def test_the_queries_of_the_manual_fit_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "ocean-compute.db"
    database = await open_database(f"sqlite:///{path}")
    await database.close()
    queries = re.findall(r'sqlite3 -readonly ocean-compute.db "\n(.*?)"\n', OPERATORS, re.DOTALL)
    assert len(queries) == 2
    with closing(sqlite3.connect(path)) as connection:
        for query in queries:
            assert connection.execute(query).fetchall() == []


def test_the_expiration_of_a_token_lies_ahead(tmp_path: Path) -> None:
    [shown] = re.findall(r"-d expiration=(\S+ .*?\)\)) -d", CONSUMERS)
    assert int(shell(f"echo {shown}", tmp_path)) > time.time() + 3000


def test_what_the_readme_makes_is_not_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {"/assets/", "/files/", "/data/", "/results/", "/*.key", "/.env"} <= {*ignored}


def test_the_shipped_environments_load() -> None:
    assert list(environments.parse(SHIPPED, "environments.yaml")) == ["small"]


def test_every_field_in_a_comment_of_the_shipped_environments_is_valid() -> None:
    uncommented = re.sub(r"^(    )# (?=\w+:|  )(?!.*Of )", r"\1", SHIPPED, flags=re.MULTILINE)
    if os.geteuid() != 0:
        uncommented = uncommented.replace("65534:65534", f"{os.geteuid()}:{os.getegid()}")
    full = environments.parse(uncommented, "environments.yaml")["small"]
    shown = {name for name in type(full).model_fields if re.search(rf"\b{name}:", uncommented)}
    assert shown == set(type(full).model_fields)


def test_a_comment_shows_the_value_that_holds_when_nothing_is_written() -> None:
    defaults = environments.Environment(id="small")
    names = ("maxOutputFiles", "maxLogMB", "tmpMB", "pids", "maxQueue", "maxQueueWait")
    for name in (*names, "maxQueuePerConsumer"):
        assert f"# {name}: {getattr(defaults, name)} " in SHIPPED, name


def test_the_table_of_settings_is_complete() -> None:
    variables = {field.alias for field in Settings.model_fields.values() if field.alias}
    variables |= {"PROVIDER_PRIVATE_KEY", "PROVIDER_PRIVATE_KEY_FILE"}
    variables |= set(CHAIN_VARIABLES)
    table = OPERATORS[OPERATORS.index("## Settings") : OPERATORS.index("## What lies where")]
    table += CHAINS[CHAINS.index("## Following") : CHAINS.index("## Selling")]
    named = {name for cell in first_cells(table) for name in re.findall(r"`(\w+)`", cell)}
    assert named == variables


def test_the_table_of_statuses_is_the_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| (yes)? ?\|", CONSUMERS, re.MULTILINE)
    assert [(int(number), text, bool(end)) for number, text, end in rows] == sorted(
        (status.number, status.text, phase.terminal) for phase, status in STATUS.items()
    )


def test_calls_are_named_with_their_paths() -> None:
    paths = {path for _, path in ROUTES.values()}
    assert set(re.findall(r"/api/services/\w+", CONSUMERS)) <= paths


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_commands_in_the_manual_exist() -> None:
    shown = re.findall(r"^(?:job=\$\()?ocean-compute (\w+)", CONSUMERS, re.MULTILINE)
    assert shown
    for command in shown:
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0
