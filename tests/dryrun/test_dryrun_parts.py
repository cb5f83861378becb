"""Inputs by their options, what is kept of providers, rooms, and what is told: without an
engine."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from compute.egress.rules import EgressRules
from compute.egress.verdict import Finding, Outcome, Verdict
from compute.engines.base import Usage
from compute.environments import Environment, Images
from compute.models import Image, Job, JobSpec, StageRun, Termination
from compute.status import Phase
from provider.assets.ddo import Container
from provider.client.errors import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    ProviderUnreachableError,
)
from provider.dryrun import room as rooms
from provider.dryrun.asking import Provider, Terms
from provider.dryrun.inputs import Given, LocalInputs, given, local_did
from provider.dryrun.offered import NOBODY, Price
from provider.dryrun.plan import Code, Plan, has_network, specification
from provider.dryrun.report import Report, costs, document, verdict_words, words
from provider.dryrun.shelf import Shelf, age
from provider.dryrun.watching import Measured

DID = "did:op:" + "d1" * 32
CONTAINER = Container(
    image="python", tag="3", entrypoint="python $ALGO", checksum="sha256:" + "0a" * 32
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    (folder / "deep").mkdir(parents=True)
    for name in ("b.csv", "a.csv", "deep/c.csv", ".hidden"):
        (folder / name).write_text(name)
    (folder / "link.csv").symlink_to(folder / "a.csv")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_an_input_is_a_file_or_a_folder_in_order_or_has_a_name(files: Path) -> None:
    rows = files / "rows"
    assert given(str(rows / "b.csv"), 1) == Given(local_did(1), "compute", (rows / "b.csv",))
    folder = given(f"{DID}={rows}", 2)
    assert (folder.did, folder.service_id, folder.known) == (DID, "compute", True)
    assert [path.relative_to(rows).as_posix() for path in folder.files] == [
        "a.csv",
        "b.csv",
        "deep/c.csv",
    ]
    assert given(f"{DID}#s1={rows}", 1).service_id == "s1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nowhere.csv", "no file or folder nowhere.csv"),
        ("empty", "no file in the folder"),
        ("did:op:../x=rows", "not a DID"),
        (f"{DID}=nowhere", "no file or folder nowhere"),
    ],
)
def test_inputs_that_there_are_not(
    files: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(ClientUsageError, match=says):
        given(text, 1)


async def test_files_are_handed_to_the_job_by_name_and_place(files: Path) -> None:
    dataset = given(f"{DID}={files / 'rows'}", 1)
    supplier = LocalInputs([dataset])
    job = specification(Plan(NOBODY, Environment(id="e"), (dataset,), Code(CONTAINER, text="1")))
    found = await supplier.dataset(job.datasets[0])
    assert [(file.name, file.path) for file in found] == [
        (path.name, path) for path in dataset.files
    ]
    [code] = await supplier.algorithm(job.algorithm)
    async with code.open(None) as download:
        assert [chunk async for chunk in download.chunks] == [b"1"]


def plan(environment: Environment, *terms: Terms | None, **code: Any) -> Plan:
    datasets = tuple(Given(f"did:op:{number}", "s", ()) for number in range(len(terms)))
    told = {(f"did:op:{number}", "s"): each for number, each in enumerate(terms) if each}
    return Plan(NOBODY, environment, datasets, Code(CONTAINER, **code), terms=told)


OPEN, CLOSED = Terms(True, True, None), Terms(True, False, None)


@pytest.mark.parametrize(
    ("network", "terms", "given"),
    [
        ("bridge", (OPEN, OPEN), True),
        ("bridge", (OPEN, CLOSED), False),
        ("bridge", (OPEN, None), False),
        ("none", (OPEN,), False),
    ],
)
def test_a_network_needs_the_environment_and_every_dataset(
    network: str, terms: tuple[Terms | None, ...], given: bool
) -> None:
    made = plan(Environment(id="e", network=network), *terms)
    assert has_network(made) is given
    assert specification(made).stages[0].network is given


def test_rules_of_datasets_come_with_the_job() -> None:
    rules = EgressRules(maxRows=3)
    spec = specification(plan(Environment(id="e"), Terms(True, False, rules), None))
    assert [item.egress for item in spec.datasets] == [rules, None]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": "evil"}, "does not allow the image evil.*It allows python"),
        ({"checksum": "md5:1"}, "must start with sha256"),
        ({"entrypoint": "sh 'x"}, "entrypoint_malformed"),
        ({"image": "No Name"}, "image_malformed"),
    ],
)
def test_an_image_is_refused_as_a_start_would_be(changes: dict[str, str], says: str) -> None:
    environment = Environment(id="e", images=Images(allow=("python",)))
    code = Code(CONTAINER.model_copy(update=changes), text="1")
    with pytest.raises(ClientUsageError, match=says):
        specification(Plan(NOBODY, environment, (), code))


def test_what_a_provider_said_is_kept_by_its_name(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, now=lambda: 1000.0)
    assert shelf.find("environments", "http://a") is None
    shelf.keep("environments", "http://a", {"x": [1]})
    kept = shelf.find("environments", "http://a")
    assert kept
    assert (kept.document, kept.at) == ({"x": [1]}, 1000.0)
    assert shelf.find("environments", "http://b") is None
    for damaged in ("{broken", "[" * 100_000, '{"name": "http://a", "at": NaN, "document": 1}'):
        shelf.path("environments", "http://a").write_text(damaged)
        assert shelf.find("environments", "http://a") is None


@pytest.mark.parametrize(
    "damaged", [None, 5, {}, {"environments": ["ab"]}, {"environments": [["1", 5]]}]
)
async def test_what_is_kept_and_not_understood_is_asked_for_again(
    tmp_path: Path, damaged: Any
) -> None:
    """Nobody is there to be asked."""
    shelf = Shelf(tmp_path)
    shelf.keep("environments", "http://127.0.0.1:9", damaged)
    with pytest.raises(ProviderUnreachableError, match="is kept here"):
        await Provider("http://127.0.0.1:9", shelf).environment("a")


async def test_a_sample_has_no_more_files_than_a_sample_may(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    files = [{"name": str(number)} for number in range(101)]
    shelf.keep("terms", f"http://127.0.0.1:9 {DID}#s1", {"files": files})
    with pytest.raises(AnswerNotUnderstoodError):
        await Provider("http://127.0.0.1:9", shelf).sample(DID, "s1")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(3, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (90000, "1 day ago")],
)
def test_ages_are_told_in_words(seconds: float, told: str) -> None:
    assert age(seconds) == told


def test_two_dry_runs_at_once_have_two_rooms_and_the_next_has_the_first(tmp_path: Path) -> None:
    with rooms.taken(tmp_path) as first:
        with rooms.taken(tmp_path) as second:
            assert first.data_dir != second.data_dir
            assert first.operator_id != second.operator_id
        with rooms.taken(tmp_path) as again:
            assert again == second
    with rooms.taken(tmp_path) as later:
        assert later == first


def test_the_most_memory_is_kept_of_all_looks() -> None:
    seen = None
    for memory, cpu in ((10, 0.1), (30, 0.2), (20, 0.4)):
        seen = Measured.of(Usage(memory, None, cpu), seen)
    assert seen == Measured(30, 0.4, 3, by_engine=False)
    assert Measured.of(Usage(5, 90, 1.0), None) == Measured(90, 1.0, 1, by_engine=True)


@pytest.mark.parametrize(
    ("per_minute", "seconds", "told"),
    [("0.6", 60, "0.6"), ("1", 0.2, "0.016666666666666667"), ("0", 99, "0"), ("90", 59.1, "90")],
)
def test_prices_are_exact_and_by_whole_seconds(per_minute: str, seconds: float, told: str) -> None:
    assert costs(Price("1", "0x", Decimal(per_minute)), seconds) == Decimal(told)


def a_job(phase: Phase = Phase.COMPLETED, **changes: Any) -> Job:
    spec: JobSpec = specification(plan(Environment(id="e"), None, text="1"))
    run = StageRun("algorithm", "sha256:x", 100.0, 101.5, 0)
    end = Termination(phase, "completed", exit_code=0)
    values = {"runs": (run,), "termination": end, "finished_at": 102.0, **changes}
    return Job("0" * 32, NOBODY, "e", spec, 99.0, phase=phase, **values)


def test_a_report_is_json_and_words() -> None:
    report = Report(
        a_job(),
        Environment(id="e", ramGB=0.5, maxJobDuration=120),
        Measured(1 << 20, 0.25, 3, by_engine=False),
        prices=[Price("8996", "0xAA", Decimal("0.6"))],
    )
    told = json.loads(json.dumps(document(report)))
    assert told["passes"] is True
    assert told["job"]["status"] == 70
    assert told["usage"] == {
        "seconds": 1.5,
        "cpuSeconds": 0.25,
        "peakMemoryBytes": 1 << 20,
        "peakMemoryIsSampled": True,
        "memoryLimitBytes": 512 << 20,
    }
    assert told["price"] == [
        {
            "chainId": "8996",
            "token": "0xAA",
            "perMinute": "0.6",
            "forTheTimeItRan": "0.02",
            "atMost": "1.2",
        }
    ]
    lines = dict(words(report))
    assert lines["memory"].startswith("1.0 MiB of 512.0 MiB at most (the most of 3 looks")
    assert lines["price"] == (
        "0.02 for the 2 s that it ran; 1.2 for the 120 s that it might; of token 0xAA on chain 8996"
    )


def test_what_was_killed_for_its_memory_had_all_there_was() -> None:
    end = Termination(Phase.ALGORITHM_FAILED, "out_of_memory", exit_code=137, oom_killed=True)
    job = a_job(Phase.ALGORITHM_FAILED, termination=end)
    report = Report(job, Environment(id="e", ramGB=0.5), None)
    assert document(report)["usage"]["peakMemoryBytes"] == 512 << 20
    assert not report.passes
    assert "wanted more" in dict(words(report))["memory"]


def test_rules_are_told_with_who_made_them() -> None:
    verdict = Verdict(
        (
            Finding("environment", Outcome.PASS),
            Finding(DID, Outcome.HOLD, ("maxRows: at most 3 rows",)),
            Finding("did:op:2", Outcome.REFUSE, ("maxFiles: at most 1 files",)),
        )
    )
    assert verdict_words(verdict) == [
        "passes the rules of the environment",
        f"would be held for review by {DID}: maxRows: at most 3 rows",
        "would be refused by did:op:2: maxFiles: at most 1 files",
    ]
    assert verdict_words(None) == ["no rules"]
    assert verdict_words(None, [local_did(1), DID]) == [
        "no rules that are known here",
        "not known: the rules of data that was given without a DID",
        f"not known: the rules of {DID}",
    ]


def test_an_image_without_tag_is_allowed_as_a_start_would() -> None:
    spec = specification(plan(Environment(id="e"), text="1"))
    assert spec.algorithm.image == Image(image="python", tag="3", checksum=CONTAINER.checksum)
