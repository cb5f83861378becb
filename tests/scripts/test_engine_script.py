"""``scripts/engine.sh``: one daemon at most, and the machine is left as it was.

The script runs in namespaces of its own, with an empty /run and stand-ins for ``docker``
and ``dockerd``: no test here touches the machine's engine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "engine.sh"

DOCKER = """#!/bin/sh
case $1 in
version) test -e /run/answers ;;
context) echo unix:///var/run/docker.sock ;;
ps) cat /run/containers 2>/dev/null ;;
esac
"""
DAEMON = """#!/bin/sh
trap 'rm -f /run/answers /run/docker.pid; echo stopped >> /run/story; exit 0' TERM
echo started >> /run/story
test -z "$BROKEN" || { echo "no iptables"; exit 1; }
echo $$ > /run/docker.pid
test -n "$SILENT" || touch /run/answers
while :; do sleep 0.05; done
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="needs root and unshare for namespaces of its own",
)


class Machine:
    """A machine without an engine, for one story told in shell."""

    def __init__(self, folder: Path) -> None:
        self._bin = folder / "bin"
        self._bin.mkdir()
        for name, text in (("docker", DOCKER), ("dockerd", DAEMON)):
            (self._bin / name).write_text(text)
            (self._bin / name).chmod(0o755)

    def tell(self, story: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the story; ``$ENGINE`` is the script. Ends with what daemons did."""
        script = f"mount -t tmpfs none /run\nENGINE={SCRIPT}\n{story}\ncat /run/story"
        environment = {"PATH": f"{self._bin}:{os.environ['PATH']}", **variables}
        return subprocess.run(
            ["unshare", "-m", "-p", "-f", "--mount-proc", "bash", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_daemon_is_started_for_the_command_and_stopped_after_it(machine: Machine) -> None:
    told = machine.tell("$ENGINE run echo inside")
    assert told.stdout.split() == ["inside", "started", "stopped"]


def test_the_commands_exit_code_is_kept(machine: Machine) -> None:
    told = machine.tell("$ENGINE run bash -c 'exit 7'; echo $?")
    assert told.stdout.split() == ["7", "started", "stopped"]


def test_a_daemon_that_ran_before_is_not_stopped(machine: Machine) -> None:
    told = machine.tell(
        "dockerd & until [ -e /run/answers ]; do sleep 0.05; done; $ENGINE run echo inside"
    )
    assert told.stdout.split() == ["inside", "started"]


def test_two_commands_at_once_share_one_daemon(machine: Machine) -> None:
    told = machine.tell(
        "$ENGINE run bash -c 'until [ -e /run/second ]; do sleep 0.05; done; echo first' &"
        "$ENGINE run touch /run/second; wait"
    )
    assert told.stdout.split() == ["first", "started", "stopped"]


def test_a_daemon_that_others_use_is_left_to_them(machine: Machine) -> None:
    told = machine.tell("$ENGINE run bash -c 'echo 1234 > /run/containers'")
    assert told.stdout.split() == ["started"]


def test_what_was_left_to_others_is_stopped_by_the_next_command(machine: Machine) -> None:
    told = machine.tell(
        "$ENGINE run bash -c 'echo 1234 > /run/containers'; rm /run/containers; $ENGINE run true"
    )
    assert told.stdout.split() == ["started", "stopped"]


def test_a_daemon_that_dies_is_told_with_its_own_words(machine: Machine) -> None:
    told = machine.tell("$ENGINE run echo never; echo $?", BROKEN="1")
    assert told.stdout.split() == ["1", "started"]
    assert "no iptables" in told.stderr


def test_an_address_that_does_not_answer_starts_nothing(machine: Machine) -> None:
    told = machine.tell(
        "$ENGINE run echo never; echo $?; touch /run/story", DOCKER_HOST="tcp://x:1"
    )
    assert told.stdout.split() == ["1"]
    assert "unset DOCKER_HOST" in told.stderr


def test_a_dead_daemons_pid_file_does_not_count(machine: Machine) -> None:
    told = machine.tell("echo 99999 > /run/docker.pid; $ENGINE run echo inside")
    assert told.stdout.split() == ["inside", "started", "stopped"]
