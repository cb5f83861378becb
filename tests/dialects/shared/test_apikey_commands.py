"""``api-key new`` and ``api-key hash``."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from provider.apikeys import HashedKey, KeyRing
from provider.cli.commands import app

SECRET = "correct horse battery"


async def belongs(key: str, text: str) -> bool:
    return await KeyRing({"alice": HashedKey.parse(text)}).name_of(key) == "alice"


async def test_a_new_key_is_on_stdout_and_its_line_on_stderr() -> None:
    done = CliRunner().invoke(app, ["api-key", "new", "alice"])
    assert done.exit_code == 0, done.output
    [key] = done.stdout.splitlines()
    told, line = done.stderr.splitlines()
    assert "DIALECTS_FILE" in told
    name, _, text = line.partition(": ")
    assert name == "alice"
    assert key not in done.stderr
    assert await belongs(key, text.strip('"'))


async def test_machines_get_json() -> None:
    done = CliRunner().invoke(app, ["api-key", "new", "alice", "--json"])
    told = json.loads(done.stdout)
    assert sorted(told) == ["hash", "key", "name"]
    assert await belongs(told["key"], told["hash"])
    done = CliRunner().invoke(app, ["api-key", "hash", "alice", "--json"], input=SECRET + "\n")
    told = json.loads(done.stdout)
    assert sorted(told) == ["hash", "name"]
    assert await belongs(SECRET, told["hash"])


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
async def test_a_secret_of_ones_own_is_read_from_stdin(end: str) -> None:
    done = CliRunner().invoke(app, ["api-key", "hash", "alice"], input=SECRET + end)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert SECRET not in done.output
    assert await belongs(SECRET, done.stdout.strip().removeprefix("alice: ").strip('"'))


def test_a_short_secret_is_taken_with_a_warning() -> None:
    done = CliRunner().invoke(app, ["api-key", "hash"], input="hunter2\n")
    assert done.exit_code == 0
    assert "short" in done.stderr
    assert done.stdout.startswith('name: "scrypt$')


@pytest.mark.parametrize(
    "given", [b"", b"\n", b" spaced\n", b"spaced \n", b"tab\tinside\n", b"\xff\xfe\n", b"x" * 513]
)
def test_what_cannot_be_a_key_is_refused(given: bytes) -> None:
    done = CliRunner().invoke(app, ["api-key", "hash"], input=given)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["a/b", "a:b", "-", "a b", "", "x" * 65])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    for words in (["new"], ["hash"]):
        done = CliRunner().invoke(app, ["api-key", *words, "--", name], input=SECRET)
        assert done.exit_code == 2
        assert "A name has letters" in done.stderr


@pytest.mark.parametrize(("again", "code"), [(SECRET, 0), ("another", 2)])
def test_at_a_terminal_it_is_asked_twice_and_not_shown(again: str, code: int) -> None:
    master, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", "from provider.cli import main; main()", "api-key", "hash"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        shown = b""
        for prompt, answer in ((b"Secret: ", SECRET), (b"Once more: ", again)):
            while prompt not in shown:
                shown += os.read(master, 1024)
            os.write(master, answer.encode() + b"\n")
        output, _ = process.communicate(timeout=120)
        os.close(master)
    assert process.returncode == code
    assert SECRET.encode() not in shown + output
    assert output.startswith(b'name: "scrypt$') is (code == 0)
