"""The command line against the stand-in provider, through CliRunner and as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port
from click.testing import Result
from standin_provider import TEXTS, Fault, StandIn, in_a_thread
from typer.testing import CliRunner

from provider.cli.commands import app
from provider.cli.loglines import shower
from provider.cli.output import print_table
from provider.cli.watching import describe
from provider.client import Job
from provider.keys import ProviderKey

DID = "did:op:" + "1" * 64
DENIED = (
    f"Error: Access to {DID} was denied with code: ConsumableCodes.CREDENTIAL_NOT_IN_ALLOW_LIST."
)
Run = Callable[..., Result]


@pytest.fixture
def url(stand_in: StandIn) -> Iterator[str]:
    stand_in.script = [70]
    with in_a_thread(stand_in) as url:
        yield url


@pytest.fixture
def run(url: str, key_file: Path) -> Run:
    def invoke(*words: str, **changes: str | None) -> Result:
        environment: dict[str, str | None] = {
            "OCEAN_COMPUTE_URL": url,
            "OCEAN_COMPUTE_KEY": str(key_file),
            "COLUMNS": "200",
        }
        return CliRunner().invoke(app, list(words), env=environment | changes)

    return invoke


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.sh"
    path.write_text("echo hello")
    return path


@pytest.fixture
def started(run: Run, script: Path) -> str:
    done = run("start", "-a", str(script), "--image", "busybox", "-d", DID, "--json")
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["jobId"])


def test_a_start_tells_the_job_and_what_was_sent(run: Run, stand_in: StandIn, script: Path) -> None:
    done = run(
        *("start", "-a", str(script), "--image", "busybox", "--tag", "1", "-e", "small"),
        *("-d", f"{DID}#s1", "-d", f"{DID}2", "--service", "s9"),
        *("--userdata", '{"year": 2020}', "--algocustomdata", '{"seed": 1}'),
    )
    assert done.exit_code == 0, done.output
    [job_id] = stand_in.jobs
    assert done.stdout == f"{job_id}\t1 Warming up\n"
    [sent] = stand_in.calls("computeStart")
    userdata = {"year": 2020}
    assert sent["dataset"] == {"documentId": DID, "serviceId": "s1", "userdata": userdata}
    assert sent["additionalDatasets"] == [{"documentId": f"{DID}2", "serviceId": "s9"}]
    assert sent["algorithm"]["algocustomdata"] == {"seed": 1}
    assert sent["algorithm"]["meta"]["container"]["entrypoint"] == "sh $ALGO"


def test_a_published_algorithm_is_named_by_did(run: Run, stand_in: StandIn, script: Path) -> None:
    script.write_text('{"a": [1]}')
    done = run("start", "-a", f"{DID}#7", "-d", DID, "--algocustomdata", f"@{script}", "--typed")
    assert done.exit_code == 0, done.output
    [sent] = stand_in.calls("computeStart")
    assert sent["algorithm"] == {
        "documentId": DID,
        "serviceId": "7",
        "algocustomdata": {"a": [1]},
    }
    assert "expiry" in sent


def test_follow_tells_changes_on_stderr_and_the_job_on_stdout(
    run: Run, stand_in: StandIn, script: Path, tmp_path: Path
) -> None:
    stand_in.script = [1, 20, 40, 70]
    folder = tmp_path / "results"
    done = run(
        *("start", "-a", str(script), "--image", "busybox", "-d", DID),
        *("--follow", "--download", str(folder), "--json"),
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["status"] == 70
    for words in ("20 Configuring volumes", "40 Running algorithm", "70 Job completed"):
        assert words in done.stderr
    assert (folder / "metrics.json").read_bytes() == b'{"accuracy": 0.97}'


def test_a_failed_job_is_exit_code_1(run: Run, stand_in: StandIn, script: Path) -> None:
    stand_in.script = [1, 41]
    done = run("start", "-a", str(script), "--image", "busybox", "-d", DID, "--follow")
    assert done.exit_code == 1
    assert "41 Algorithm failed (exit_code, exit code 3)" in done.stdout


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["-a", "{script}", "-d", DID], "--image"),
        (["-a", "{script}.none", "--image", "x", "-d", DID], "No entrypoint"),
        (["-a", "no.py", "--image", "x", "-d", DID], "not a readable text file"),
        (["-a", DID, "--image", "x", "-d", DID], "brings its own container"),
        (["-a", DID, "-d", "#1"], "is not an asset"),
        (["-a", DID, "-d", DID, "--userdata", "{"], "not JSON"),
        (["-a", DID, "-d", DID, "--algocustomdata", "@none"], "cannot be read"),
        (["-a", "{script}", "--image", "x", "-d", DID, "--algorithm-userdata", "1"], "published"),
        (["-d", DID], "algorithm"),
        (["-a", DID], "dataset"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    run: Run, stand_in: StandIn, script: Path, words: list[str], hint: str
) -> None:
    done = run("start", *(word.replace("{script}", str(script)) for word in words))
    assert done.exit_code == 2, done.output
    assert hint in done.stderr
    assert done.stdout == ""
    assert stand_in.jobs == {}


def test_with_several_environments_one_must_be_chosen(run: Run, stand_in: StandIn) -> None:
    stand_in.environments = [{"id": "small"}, {"id": "large"}]
    done = run("start", "-a", DID, "-d", DID)
    assert done.exit_code == 2
    assert "large, small" in done.stderr


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(401), 3),
        (Fault(403), 3),
        (Fault(404), 4),
        (Fault(400), 1),
        (Fault(400, body={"error": {"dataset": "ConsumableCodes.NONE, try later"}}), 1),
        (Fault(400, body={"error": {"dataset": DENIED}}), 3),
        (Fault(400, body={"error": {"try later": "did_not_found"}}), 4),
        (Fault(400, body={"error": {"try later": "not_found"}}), 4),
        (Fault(500), 1),
    ],
)
def test_refusals_have_their_exit_codes(
    run: Run, stand_in: StandIn, started: str, fault: Fault, code: int
) -> None:
    stand_in.spoil("computeStop", fault)
    done = run("stop", started)
    assert (done.exit_code, done.stdout) == (code, "")
    assert re.search("try later|not on the asset's list", done.stderr)


def test_nobody_there_is_exit_code_5(run: Run) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    done = run("environments", OCEAN_COMPUTE_URL=url.replace("//", "//user:word@"))
    assert done.exit_code == 5
    assert done.stderr == f"The provider at {url} cannot be reached: Connection refused.\n"


def test_https_where_http_is_spoken_is_told(run: Run, url: str) -> None:
    done = run("environments", OCEAN_COMPUTE_URL=url.replace("http:", "https:"))
    assert done.exit_code == 5
    assert "it speaks http, not https" in done.stderr


def test_a_host_that_does_not_exist_is_told(run: Run) -> None:
    done = run("environments", OCEAN_COMPUTE_URL="http://nobody.invalid")
    assert done.exit_code == 5
    assert done.stderr.endswith("nobody.invalid cannot be reached: its host name is not known.\n")


def test_environments_need_no_key(run: Run) -> None:
    done = run("environments", OCEAN_COMPUTE_KEY=None)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("small\t8996\t")
    listed = json.loads(run("environments", "--json").stdout)
    assert listed == [{"id": "small", "desc": "one core", "priceMin": 0, "chainId": "8996"}]


def test_status_of_one_and_of_all(run: Run, started: str) -> None:
    assert run("status", started).stdout == f"{started}\t70 Job completed\n"
    assert json.loads(run("status", started, "--json").stdout)["jobId"] == started
    assert run("status").stdout.startswith(f"{started}\t70 Job completed\tsmall\t")
    assert [job["jobId"] for job in json.loads(run("status", "--json").stdout)] == [started]
    assert run("status", started, "--follow").exit_code == 0


def test_a_reason_is_shown_for_failures_only() -> None:
    def described(status: int, text: str, reason: str) -> str:
        return describe(Job("1", status, text, ended=1.0, reason=reason, exit_code=0))

    assert described(70, "Job completed", "completed") == "70 Job completed"
    assert described(7, "Job stopped", "stopped") == "7 Job stopped"
    assert described(8, "Job deleted", "completed") == "8 Job deleted"
    assert described(41, "Algorithm failed", "time_limit") == "41 Algorithm failed (time_limit)"


def test_until_when_and_why_results_are_held_is_shown() -> None:
    def described(**egress: object) -> str:
        document = {"jobId": "1", "status": 51, "statusText": "Results held for review"}
        return describe(Job.from_wire({**document, **egress}))

    assert described() == "51 Results held for review"
    rules = ["maxRows: at most 100 rows in a table", "types: only \x1b[31mtext/*"]
    told = described(egress={"outcome": "hold", "rules": rules, "heldUntil": 4102444800})
    assert told.startswith("51 Results held for review (until 2")
    assert told.endswith("maxRows: at most 100 rows in a table; types: only [31mtext/*)")


def test_a_failure_is_told_with_whose_it_is(run: Run, stand_in: StandIn, started: str) -> None:
    job = stand_in.jobs[started]
    job.script, job.ended = [41], None
    job.failure = {
        "reason": "input_unreachable",
        "cause": "The place where a dataset lies did not answer.",
        "evidence": "answered 503\x1b[2J",
        "whoCanFix": ["data_owner", "operator"],
        "retry": "helps_later",
        "advice": "Start it again later.",
        "tries": 5,
    }
    told = [
        "why:             The place where a dataset lies did not answer.",
        "evidence:        answered 503 [2J (tried 5 times)",
        "can be fixed by: data owner, operator",
        "retry:           helps later",
        "what to do:      Start it again later.",
    ]
    done = run("status", started)
    assert (done.exit_code, done.stderr.splitlines()) == (0, told)
    assert done.stdout.startswith(f"{started}\t41 Algorithm failed (")
    followed = run("status", started, "--follow")
    assert (followed.exit_code, followed.stderr.splitlines()[-5:]) == (1, told)
    machine = run("status", started, "--json")
    assert (machine.stderr, json.loads(machine.stdout)["failure"]) == ("", job.failure)


def test_of_a_provider_without_cards_the_detail_is_told(
    run: Run, stand_in: StandIn, started: str
) -> None:
    job = stand_in.jobs[started]
    job.script, job.ended = [41], None
    before = run("status", started).stderr
    assert before == "no such column\n"
    job.failure = {"cause": "It failed.", "whoCanFix": "nobody", "tries": "many"}
    assert run("status", started).stderr == "why:             It failed.\n"


def test_what_a_job_waits_for_is_shown(run: Run, stand_in: StandIn, started: str) -> None:
    job = stand_in.jobs[started]
    job.script, job.ended = [1, 1, 1, 70], None
    job.queue = ["number 2 in the queue: all places are taken", "number 1\x1b[2Jand so on"]
    told = run("status", started).stdout
    assert told == f"{started}\t1 {TEXTS[1]} (number 2 in the queue: all places are taken)\n"
    done = run("status", started, "--follow")
    assert "\x1b" not in done.stderr
    assert "(number 1" in done.stderr
    assert "70 Job completed" in done.stderr


def test_ids_stay_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    job = "ef22f2bf5c254982bd33b34d00f99848"
    when = "2026-11-20 18:00:09"
    columns = ["job", "status", "environment", "created", "finished"]
    print_table(columns, [[job, "41 Algorithm failed (exit_code)", "small", when, when]])
    shown = terminal.getvalue().split()
    assert job in shown
    assert {"2026-11-20", "18:00:09", "Algorithm", "(exit_code)"} <= set(shown)
    assert "environment" in terminal.getvalue()


def test_logs_are_printed_as_they_are(run: Run, started: str) -> None:
    done = run("logs", started)
    assert (done.exit_code, done.stdout) == (0, "epoch 1\nepoch 2\n")


def test_a_provider_without_live_logs_gives_what_it_published(run: Run, started: str) -> None:
    assert run("logs", started, "--offset", "8").stdout == "epoch 2\n"
    for option in (["--follow"], ["--stage", "train"]):
        done = run("logs", started, *option)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "cannot show logs while jobs run" in done.stderr


def test_a_log_on_a_terminal_commands_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    show = shower()
    whole = "\x1b[31mü\tend\n".encode()
    for byte in (*whole, 0xC3):
        show(bytes([byte]))
    show(b"", final=True)
    assert terminal.getvalue() == "\ufffd[31mü\tend\n\ufffd"


def test_results_are_listed_without_what_would_command_a_terminal(
    run: Run, stand_in: StandIn, started: str
) -> None:
    stand_in.jobs[started].files.append(("\x1b[31mred[bold]", "output", b""))
    lines = run("results", started).stdout.splitlines()
    assert lines[0] == "0\toutput\t18\tmetrics.json"
    assert lines[2] == "2\toutput\t0\t[31mred[bold]"
    listed = json.loads(run("results", started, "--json").stdout)
    assert listed[0]["filename"] == "metrics.json"


def test_downloads_print_paths(run: Run, started: str, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    done = run("download", started, "--to", str(folder), "--json")
    assert json.loads(done.stdout) == [str(folder / "metrics.json"), str(folder / "algorithm.log")]
    done = run("download", started, "0", "--to", str(tmp_path / "one.json"))
    assert done.stdout == f"{tmp_path / 'one.json'}\n"
    (tmp_path / "one.json").write_text("mine")
    assert run("download", started, "0", "-o", str(tmp_path / "one.json")).exit_code == 1
    done = run("download", started, "0", "-o", str(tmp_path / "one.json"), "--overwrite")
    assert done.exit_code == 0
    assert run("download", started, "9").exit_code == 4


def test_a_path_that_ends_with_a_slash_is_a_folder(run: Run, started: str, tmp_path: Path) -> None:
    done = run("download", started, "0", "--to", f"{tmp_path}/new/")
    assert done.stdout == f"{tmp_path / 'new' / 'metrics.json'}\n"


def test_a_file_in_the_way_is_told_with_the_remedy(run: Run, started: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("of another job")
    done = run("download", started, "--to", str(tmp_path))
    assert done.exit_code == 1
    assert "another folder" in done.stderr
    assert "--overwrite" in done.stderr


def test_stop_and_delete(run: Run, stand_in: StandIn, started: str) -> None:
    done = run("stop", started, "--follow", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["status"] == 7
    assert json.loads(run("delete", started, "--json").stdout)["deleted"] is True
    assert stand_in.jobs == {}
    assert run("delete", started).exit_code == 4


def test_a_new_key_is_private_and_never_overwritten(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "new.key"
    done = run("key", "new", str(path))
    assert done.exit_code == 0
    assert done.stdout.strip() == ProviderKey.from_file(path).address
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    assert run("key", "new", str(path)).exit_code == 1
    assert path.read_text() == before
    shown = json.loads(run("key", "show", str(path), "--json").stdout)
    assert shown["address"] == done.stdout.strip()
    assert before.strip() not in done.output


def test_what_is_no_key_is_exit_code_2(run: Run, script: Path) -> None:
    assert run("key", "show", str(script)).exit_code == 2
    assert run("status", "--key", str(script)).exit_code == 2
    assert run("key", "new", str(script.parent / "none" / "x")).exit_code == 1


def test_a_key_file_is_named_but_never_a_key(run: Run, tmp_path: Path, wallet: Any) -> None:
    done = run("status", OCEAN_COMPUTE_KEY=str(tmp_path / "none.key"))
    assert done.exit_code == 2
    assert f"{tmp_path / 'none.key'} cannot be read: No such file" in done.stderr
    mistyped = wallet.key.hex()[:-1] + "x"
    for text in (mistyped, "one two three four five six seven eight nine ten eleven twelve"):
        done = run("status", OCEAN_COMPUTE_KEY=text)
        assert done.exit_code == 2
        assert text not in done.stderr


def test_a_container_that_is_not_described_is_told_by_options(
    run: Run, stand_in: StandIn, script: Path
) -> None:
    body = {"error": {"algorithm.container": "missing_entrypoint_image_checksum"}}
    stand_in.spoil("computeStart", Fault(400, body=body))
    done = run("start", "-a", str(script), "--image", "busybox", "-d", DID)
    assert done.exit_code == 1
    assert "--tag, --checksum" in done.stderr


def test_help_tells_the_exit_codes(run: Run) -> None:
    for command in ([], ["start"], ["status"], ["key", "new"]):
        done = run(*command, "--help")
        assert done.exit_code == 0
        assert "Exit codes: 0 done" in " ".join(done.stdout.split())


def process(*words: str, **environment: str) -> subprocess.Popen[str]:
    """A process that hears SIGINT, even where the tests run in the background of a shell."""
    return subprocess.Popen(
        [sys.executable, "-m", "provider", *words],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def test_as_a_process_json_is_all_there_is_on_stdout(
    url: str, key_file: Path, script: Path
) -> None:
    words = ["start", "-a", str(script), "--image", "x", "-d", DID, "--follow", "--json"]
    running = process(*words, OCEAN_COMPUTE_URL=url, OCEAN_COMPUTE_KEY=str(key_file))
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert json.loads(out)["status"] == 70


def test_an_interrupt_leaves_the_job_and_says_how_to_go_on(
    url: str, key_file: Path, script: Path, stand_in: StandIn
) -> None:
    stand_in.script = [1, 40]
    words = ["start", "-a", str(script), "--image", "x", "-d", DID, "--follow"]
    running = process(*words, OCEAN_COMPUTE_URL=url, OCEAN_COMPUTE_KEY=str(key_file))
    assert running.stderr is not None
    try:
        for line in running.stderr:
            if "40 Running" in line:
                break
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=120)
    finally:
        running.kill()
    [job_id] = stand_in.jobs
    assert running.returncode == 130
    assert f"ocean-compute status {job_id} --follow" in err
    assert stand_in.calls("computeStop") == []


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    """The modules say more than a clock on a busy machine."""
    code = (
        "import sys, provider.cli; heavy = {'aiohttp', 'eth_account', 'pydantic', 'sqlalchemy',"
        " 'docker', 'coincurve', 'rich.console'}; sys.exit(str(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert done.stderr == "set()\n"


def test_key_text_may_come_from_the_environment(run: Run, key_file: Path, wallet: Any) -> None:
    assert run("status", OCEAN_COMPUTE_KEY=wallet.key.hex()).exit_code == 0
