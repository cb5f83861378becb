"""What the manual shows is what the code takes: examples load, tables are complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from compute import environments
from compute.status import STATUS
from provider.assets.ddo import Ddo
from provider.cli.commands import app
from provider.dialects.ocean.responses import ROUTES
from provider.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
CONSUMERS = (ROOT / "docs" / "consumers.md").read_text()
OPERATORS = (ROOT / "docs" / "operators" / "README.md").read_text()
ASSETS = (ROOT / "docs" / "operators" / "assets.md").read_text()
SHIPPED = (ROOT / "environments.yaml").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def first_cells(page: str) -> list[str]:
    return re.findall(r"^\| ([^|]+?) \|", page, re.MULTILINE)


def described(kind: str) -> Any:
    documents = [json.loads(block) for block in blocks(ASSETS, "json")]
    return next(each for each in documents if each["metadata"]["type"] == kind)


@pytest.mark.parametrize("kind", ["dataset", "algorithm"])
def test_the_example_of_an_asset_is_a_valid_document(kind: str) -> None:
    ddo = Ddo.parse(described(kind))
    assert ddo.type == kind
    assert all(service.files for service in ddo.services)


def test_the_shipped_environments_load() -> None:
    assert list(environments.parse(SHIPPED, "environments.yaml")) == ["small"]


def test_every_field_in_a_comment_of_the_shipped_environments_is_valid() -> None:
    uncommented = re.sub(r"^(    )# (?=\w+:|  )(?!.*Of )", r"\1", SHIPPED, flags=re.MULTILINE)
    full = environments.parse(uncommented, "environments.yaml")["small"]
    shown = {name for name in type(full).model_fields if re.search(rf"\b{name}:", uncommented)}
    assert shown == set(type(full).model_fields)


def test_a_comment_shows_the_value_that_holds_when_nothing_is_written() -> None:
    defaults = environments.Environment(id="small")
    for name in ("maxOutputFiles", "maxLogMB", "tmpMB", "pids", "maxQueue", "maxQueueWait"):
        assert f"# {name}: {getattr(defaults, name)} " in SHIPPED, name


def test_the_table_of_settings_is_complete() -> None:
    variables = {field.alias for field in Settings.model_fields.values() if field.alias}
    variables |= {"PROVIDER_PRIVATE_KEY", "PROVIDER_PRIVATE_KEY_FILE"}
    table = OPERATORS[OPERATORS.index("## Settings") : OPERATORS.index("## What lies where")]
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
