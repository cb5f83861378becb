"""Files in a folder against a receipt, and the command that says so."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from receipt_samples import KEY, STRANGER, a_job, an_account
from typer.testing import CliRunner

from compute.models import ResultFile
from provider.cli.commands import app
from provider.receipts.dsse import sealed
from provider.receipts.statement import canonical, statement
from provider.receipts.verifying import verify_results

FILES = {
    "out/table.csv": b"a,b\n1,2\n",
    "empty": b"",
    "also-empty": b"",
    "algorithm.log": b"done\n",
}


def result(index: int, name: str, data: bytes) -> ResultFile:
    return ResultFile(index, name, len(data), hashlib.sha256(data).hexdigest(), "output")


def account_of(files: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    results = [result(index, *item) for index, item in enumerate(files.items())]
    return an_account(a_job(results=tuple(results))) | changes


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def told(account: dict[str, Any], folder: Path) -> list[tuple[bool | None, str]]:
    return [(check.holds, check.text) for check in verify_results(account, folder)]


def test_all_results_are_there(tmp_path: Path) -> None:
    assert told(account_of(FILES), put(tmp_path, FILES)) == [
        (True, f"Result {index} ({name}) is there and equal.") for index, name in enumerate(FILES)
    ]


def test_each_way_to_differ_is_told(tmp_path: Path) -> None:
    put(tmp_path, FILES)
    (tmp_path / "out" / "table.csv").write_bytes(b"a,b\n")
    (tmp_path / "empty").unlink()
    (tmp_path / "also-empty").write_bytes(b"no longer")
    (tmp_path / "algorithm.log").write_bytes(b"fine\n")
    (tmp_path / "planted").write_bytes(b"x")
    assert told(account_of(FILES), tmp_path) == [
        (False, "Result 0 (out/table.csv) has 4 of 8 bytes: it is cut off or changed."),
        (False, "Result 1 (empty) is missing."),
        (False, "Result 2 (also-empty) has 9 bytes instead of 0: it was changed or added to."),
        (False, "Result 3 (algorithm.log) has the right size and other bytes: it was changed."),
        (False, "planted is no result of the job: the receipt does not know it."),
    ]


def test_a_result_under_another_name_counts_once(tmp_path: Path) -> None:
    put(tmp_path, {"renamed.csv": FILES["out/table.csv"], "one": b"", "algorithm.log": b"done\n"})
    assert told(account_of(FILES), tmp_path) == [
        (True, "Result 0 (out/table.csv) is there and equal, under the name renamed.csv."),
        (True, "Result 1 (empty) is there and equal, under the name one."),
        (False, "Result 2 (also-empty) is missing."),
        (True, "Result 3 (algorithm.log) is there and equal."),
    ]


def test_results_that_were_exchanged_are_told(tmp_path: Path) -> None:
    """Whoever opens the one by its name would read the other."""
    put(tmp_path, {"a.csv": b"22", "b.csv": b"1"})
    exchanged = "lies under the name of another result"
    assert told(account_of({"a.csv": b"1", "b.csv": b"22"}), tmp_path) == [
        (False, f"Result 0 (a.csv) {exchanged}, b.csv: they were exchanged."),
        (False, f"Result 1 (b.csv) {exchanged}, a.csv: they were exchanged."),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_cannot_be_looked_into_is_not_taken_for_empty(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    with pytest.raises(PermissionError):
        told(account_of({}), tmp_path)


def test_results_of_one_name_lie_where_a_download_puts_them(tmp_path: Path) -> None:
    both = [result(0, "a.log", b"1"), result(1, "a.log", b"2"), result(2, "../../up", b"3")]
    account = an_account(a_job(results=tuple(both)))
    put(tmp_path, {"a.log": b"1", "1-a.log": b"2", "up": b"3"})
    assert [holds for holds, _ in told(account, tmp_path)] == [True, True, True]


def test_no_link_stands_for_a_result(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", {"algorithm.log": b"done\n"})
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "algorithm.log").symlink_to(tmp_path / "elsewhere" / "algorithm.log")
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe")
    assert told(account_of({"algorithm.log": b"done\n"}), folder) == [
        (False, "Result 0 (algorithm.log) is missing: what has its name is no file."),
        (False, "out is no result of the job: it is no file, but a link or the like."),
        (False, "pipe is no result of the job: it is no file, but a link or the like."),
    ]
    with pytest.raises(OSError, match="Not a directory"):
        told(account_of({}), folder / "pipe")


def test_much_that_does_not_belong_there_is_counted(tmp_path: Path) -> None:
    put(tmp_path, {f"{number:03}": b"x" for number in range(30)})
    lines = told(account_of({}), tmp_path)
    assert len(lines) == 21
    assert lines[-1] == (False, "10 more files are no results of the job.")


def test_of_encrypted_results_the_encrypted_files_are_compared(tmp_path: Path) -> None:
    account = account_of({"a.sealed": b"sealed"}, encryptedTo="02" * 33)
    put(tmp_path, {"a.sealed": b"sealed"})
    [equal, (holds, text)] = told(account, tmp_path)
    assert equal[0] is True
    assert holds is None
    assert "decrypted cannot be compared" in text


def test_decrypted_files_beside_encrypted_ones_are_not_checked(tmp_path: Path) -> None:
    account = account_of({"a.sealed": b"sealed", "b.sealed": b"too"}, encryptedTo="02" * 33)
    put(tmp_path, {"a.sealed": b"sealed", "a": b"opened", "b": b"opened", "c": b"planted"})
    [equal, missing, planted, (holds, text)] = told(account, tmp_path)
    assert equal[0] is True
    assert missing[0] is False
    assert "with --keep-sealed" in missing[1]
    assert planted == (False, "c is no result of the job: the receipt does not know it.")
    assert holds is None
    assert "Here are 2" in text


Verify = Callable[..., Result]


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    path = tmp_path / "receipt.json"
    path.write_bytes(sealed(canonical(statement(account_of(FILES))), KEY))
    return path


@pytest.fixture
def verify(receipt: Path) -> Verify:
    def invoke(*words: str) -> Result:
        return CliRunner().invoke(app, ["verify", str(receipt), *words])

    return invoke


def test_the_command_says_what_holds(verify: Verify, tmp_path: Path) -> None:
    put(tmp_path / "results", FILES)
    done = verify("--results", str(tmp_path / "results"), "--provider", KEY.address)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        "holds: The file is an envelope (DSSE) in its one canonical form.",
        f"holds: The signature over the statement is good: {KEY.address} has signed it.",
        f"holds: The signer {KEY.address} is the provider that was named.",
    ]
    assert "holds: Result 0 (out/table.csv) is there and equal." in lines
    assert any(
        line.startswith("stated: Job 0f4c1e0c") and "70 Job completed" in line for line in lines
    )
    assert lines[-1].startswith("All that was checked holds")
    assert "not checked: Whether" in verify().stdout


def test_the_command_says_what_does_not_hold(verify: Verify, receipt: Path, tmp_path: Path) -> None:
    put(tmp_path / "results", {**FILES, "empty": b"not"})
    done = verify("--results", str(tmp_path / "results"), "--provider", STRANGER.address)
    assert done.exit_code == 1
    assert f"DOES NOT HOLD: The signer {KEY.address} is not the provider" in done.stdout
    assert "DOES NOT HOLD: Result 1 (empty) has 3 bytes instead of 0" in done.stdout
    assert done.stdout.splitlines()[-1] == "NOT all of it holds."
    receipt.write_bytes(receipt.read_bytes() + b"\n")
    assert "DOES NOT HOLD: The file is not in the one canonical form" in verify().stdout
    receipt.write_bytes(b"no receipt")
    done = verify()
    assert (done.exit_code, "It is no JSON." in done.stdout) == (1, True)


def test_the_command_tells_programs(verify: Verify, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    done = verify("--json", "--results", str(tmp_path / "results"))
    document = json.loads(done.stdout)
    assert (done.exit_code, document["holds"]) == (1, False)
    assert [check["holds"] for check in document["checks"]] == [True, True, None, True, True] + [
        False
    ] * len(FILES)
    assert document["statement"]["predicate"] == account_of(FILES)


def test_the_command_says_what_it_cannot_read(verify: Verify, receipt: Path) -> None:
    done = verify("--provider", "0x12")
    assert (done.exit_code, "0x12 is no address" in done.stderr) == (2, True)
    done = verify("--results", str(receipt))
    assert (done.exit_code, "Not a directory" in done.stderr) == (2, True)
    receipt.unlink()
    done = verify()
    assert (done.exit_code, "cannot be read: No such file" in done.stderr) == (2, True)
