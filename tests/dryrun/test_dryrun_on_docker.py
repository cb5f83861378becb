"""Dry runs on the real engine: how they end, what they tell, and that nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.consumer import Consumer, raw
from support.service import DATASET, IMAGE, Service, containers
from tried import RULED, SAMPLED, Try, statement_in

from provider.client.errors import ClientUsageError, ProviderUnreachableError
from provider.dryrun.report import document
from provider.dryrun.running import DryRunFailed
from provider.dryrun.shelf import Shelf, cache_folder

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

DEAD = "http://127.0.0.1:9"
GOOD = """
echo told
head -n 1 /data/inputs/*/0 > /data/outputs/head.csv
mkdir /data/outputs/deep && cat /data/inputs/*/0 | wc -l > /data/outputs/deep/lines.txt
grep -q '"id"' /data/ddos/*
sleep 0.5
"""
LEAK = "cp /data/inputs/*/0 /data/outputs/mine.csv"
# One process, so that it is the one that is killed; and not before the engine listens for it.
OUT_OF_MEMORY = "sleep 1; exec tail /dev/zero"


def rooms(cache: Path) -> Path:
    return cache_folder(cache) / "dry-run"


def leftovers(cache: Path) -> list[str]:
    """Of dry runs with this cache folder: containers, mounts, and folders."""
    folder = rooms(cache)
    status = folder.stat()
    name = f"dry-run-{os.geteuid()}-0-{status.st_dev:x}-{status.st_ino:x}"
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found = [line for line in mounts if str(folder) in line]
    return found + containers(name) + [path.name for path in folder.iterdir() if path.is_dir()]


async def test_a_good_algorithm_passes_and_everything_is_told(
    attempt: Try, tmp_path: Path, cache: Path
) -> None:
    out = tmp_path / "out"
    report, seen = await attempt(GOOD, results=out)
    assert report.passes
    assert seen.numbers == [1, 10, 20, 30, 40, 60, 70]
    assert seen.printed == b"told\n"
    told = document(report)
    assert [file["filename"] for file in told["results"]] == [
        "deep/lines.txt",
        "head.csv",
        "algorithm.log",
    ]
    assert (out / "head.csv").read_text() == "a,b\n"
    assert (out / "deep" / "lines.txt").read_text() == "3\n"
    usage = told["usage"]
    assert 0.4 < usage["seconds"] < 30
    assert 0 < usage["peakMemoryBytes"] <= 256 << 20
    assert usage["cpuSeconds"] > 0
    assert told["price"] == []
    assert told["job"]["failure"] is None
    assert leftovers(cache) == []


@pytest.mark.parametrize(
    ("code", "environment", "status", "reason", "fired"),
    [
        ("exit 3", "plain", 41, "exit_code", []),
        (OUT_OF_MEMORY, "narrow", 41, "out_of_memory", []),
        (LEAK, "strict", 61, "egress_refused", ["noInputCopies"]),
        (GOOD, "reviewed", 51, "completed", []),
    ],
)
async def test_an_algorithm_that_would_not_pass_says_why(
    attempt: Try, code: str, environment: str, status: int, reason: str, fired: list[str]
) -> None:
    report, _ = await attempt(code, environment=environment)
    assert not report.passes
    told = document(report)
    assert (told["job"]["status"], told["job"]["terminationDetails"]["reason"]) == (status, reason)
    rules = [
        rule.partition(":")[0] for each in told["egress"]["findings"] for rule in each["fired"]
    ]
    assert rules == fired
    failed = status in (41, 61)
    assert bool(told["job"]["failure"]) is failed
    if reason == "out_of_memory":
        assert told["usage"]["peakMemoryBytes"] == told["usage"]["memoryLimitBytes"]
    if status == 51:
        assert told["egress"]["outcome"] == "hold"
        assert "head.csv" in [file["filename"] for file in told["results"]]
        assert told["statement"] is None


async def test_a_dry_run_and_a_real_run_state_the_same(
    tried: Service, attempt: Try, rows: Path, checksum: str
) -> None:
    """Field by field, but for the job and its times."""
    custom = {"depth": [1, 2]}
    async with Consumer(tried.url) as consumer:
        algorithm = {**raw(GOOD, checksum=checksum), "algocustomdata": custom}
        job = await consumer.start(algorithm, [DATASET])
        job = await consumer.follow(job["jobId"])
        assert job["status"] == 70, job
        query = {"jobId": job["jobId"]}
        real = statement_in(await consumer.fetch("/api/services/computeReceipt", query))
    report, _ = await attempt(
        GOOD,
        environment=f"{tried.url}#test",
        inputs=(f"{DATASET}#compute={rows}",),
        owner=consumer.address.lower(),
        custom_data=custom,
    )
    dry = json.loads(json.dumps(report.statement))
    for stated in (real, dry):
        assert stated["predicate"].pop("job")
        assert stated["predicate"].pop("times")
    assert _fields(dry) == _fields(real)
    assert real["predicate"]["egress"]["outcome"] == "pass"
    assert real["predicate"]["stages"][0]["inputs"][0]["did"] == DATASET
    ours, theirs = document(report)["job"], job
    for name in ("status", "statusText", "environment", "inputDID", "algoDID", "owner", "results"):
        assert ours[name] == theirs[name], name


async def test_a_sample_stands_in_for_the_data(tried: Service, attempt: Try) -> None:
    report, seen = await attempt(
        "cat /data/inputs/*/0; ls /data/inputs",
        environment=f"{tried.url}#test",
        inputs=(),
        samples=(f"{SAMPLED}#compute",),
    )
    assert report.passes, seen.said
    assert seen.printed.startswith(b"a,b\n7,7\n")
    assert b"few.csv" in seen.printed
    assert report.job.spec.datasets[0].did == SAMPLED


async def test_rules_of_a_dataset_are_judged_with_files_of_ones_own(
    tried: Service, attempt: Try, rows: Path
) -> None:
    """What the real data's owner lets out is asked of the provider."""
    report, _ = await attempt(
        "sed s/1/9/ /data/inputs/*/0 > /data/outputs/changed.csv",
        environment=f"{tried.url}#test",
        inputs=(f"{RULED}={rows}",),
    )
    told = document(report)["egress"]
    assert [(each["source"], each["outcome"]) for each in told["findings"]] == [
        ("environment", "pass"),
        (RULED, "refuse"),
    ]
    with pytest.raises(ClientUsageError, match=r"no environment nowhere; it has other, test"):
        await attempt("true", environment=f"{tried.url}#nowhere")


async def test_what_was_asked_once_needs_no_network_and_a_price_is_told(
    attempt: Try, cache: Path, rows: Path
) -> None:
    environment = {"id": "paid", "ramGB": 0.25, "diskGB": 0.03, "maxJobDuration": 90}
    environment |= {"priceMin": 0.6, "feeToken": "0x" + "aa" * 20, "runtime": {"pids": 20}}
    shelf = Shelf(cache_folder(cache))
    with pytest.raises(ProviderUnreachableError, match="Nothing that it said before is kept"):
        await attempt("true", environment=f"{DEAD}#paid")
    told = {"provider": "", "version": "", "environments": [["8996", environment]]}
    shelf.keep("environments", DEAD, told)
    terms = {"files": [], "allowRawAlgorithm": False, "egress": {"maxFiles": 3}}
    shelf.keep("terms", f"{DEAD} {DATASET}#compute", terms)
    report, seen = await attempt(
        "echo 1 > /data/outputs/a; sleep 0.3", environment=DEAD, inputs=(f"{DATASET}={rows}",)
    )
    assert report.passes
    assert any("just now" in line for line in seen.said)
    assert any("lets no unpublished algorithm near" in line for line in seen.said)
    assert not any("not known" in line for line in seen.said)
    [price] = document(report)["price"]
    assert (price["perMinute"], price["atMost"]) == ("0.6", "0.9")
    assert 0 < float(price["forTheTimeItRan"]) < 0.3


async def test_what_there_is_not_is_said_in_words(attempt: Try, cache: Path) -> None:
    with pytest.raises(DryRunFailed, match="no container engine that answers"):
        await attempt("true", engine="unix:///nowhere/docker.sock")
    with pytest.raises(DryRunFailed, match="no image to run"):
        await attempt("true", image="localhost:9/missing", checksum="", environment="plain")
    with pytest.raises(ClientUsageError, match="at least one dataset"):
        await attempt("true", inputs=())
    report, _ = await attempt("true", checksum="sha256:" + "0" * 64)
    assert document(report)["job"]["status"] == 11
    assert leftovers(cache) == []


class Process:
    """``dry-run`` as a process that runs a long algorithm."""

    def __init__(self, folder: Path, cache: Path, checksum: str) -> None:
        script = folder / "long.sh"
        script.write_text("echo begun; sleep 60")
        words = [str(script), "-i", str(script), "--image", IMAGE, "--tag", "1", "--json"]
        self.command = [sys.executable, "-m", "provider", "dry-run", *words]
        self.command += ["--checksum", checksum]
        self.environ = {**os.environ, "XDG_CACHE_HOME": str(cache), "ENVIRONMENTS_FILE": ""}

    def begun(self) -> subprocess.Popen[bytes]:
        """It, once the algorithm has printed something."""
        process = subprocess.Popen(
            self.command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stderr
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line == b"begun\n":
                return process
        raise AssertionError(lines)


async def test_an_interrupted_one_leaves_nothing_and_a_killed_ones_things_go_with_the_next(
    tmp_path: Path, cache: Path, checksum: str, attempt: Try
) -> None:
    def story() -> tuple[int, int]:
        with Process(tmp_path, cache, checksum).begun() as process:
            process.send_signal(signal.SIGTERM)  # which is taken for Ctrl-C
            process.communicate(timeout=120)
            interrupted = process.returncode
        assert leftovers(cache) == []
        with Process(tmp_path, cache, checksum).begun() as process:
            process.kill()
            process.communicate(timeout=120)
        return interrupted, len(leftovers(cache))

    interrupted, left = await asyncio.to_thread(story)
    assert interrupted == 130
    assert left >= 2
    report, _ = await attempt("true")
    assert report.passes
    assert leftovers(cache) == []


async def test_the_command_prints_json_writes_the_statement_and_tells_by_its_exit_code(
    tmp_path: Path, rows: Path, cache: Path, own_file: Path, checksum: str
) -> None:
    script = tmp_path / "fails.sh"
    script.write_text("echo it; exit 4")
    words = ["dry-run", str(script), "-i", str(rows), "-e", "plain", "--image", IMAGE]
    words += ["--tag", "1", "--checksum", checksum, "--receipt", str(tmp_path / "stated.json")]
    environ = {"XDG_CACHE_HOME": str(cache), "ENVIRONMENTS_FILE": str(own_file)}
    done = await asyncio.to_thread(_invoke, [*words, "--json"], environ)
    assert done.returncode == 1, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["job"]["terminationDetails"]["exitCode"] == 4
    assert told["job"]["failure"]["whoCanFix"] == ["consumer"]
    assert json.loads((tmp_path / "stated.json").read_text()) == told["statement"]
    assert "it\n" in done.stderr
    shown = await asyncio.to_thread(_invoke, words, environ)
    assert "exit code   4" in shown.stdout
    assert "can be fixed by: consumer" in shown.stdout


def _fields(value: Any, path: str = "") -> list[str]:
    """All fields of a statement, a line each, so that a failure shows which differ."""
    if isinstance(value, dict) and value:
        return [line for name in sorted(value) for line in _fields(value[name], f"{path}.{name}")]
    if isinstance(value, list) and value:
        pairs = enumerate(value)
        return [line for at, each in pairs for line in _fields(each, f"{path}[{at}]")]
    return [f"{path} = {value!r}"]


def _invoke(words: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "provider", *words],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
