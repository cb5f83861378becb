"""Tools of the system: run to their end, or not at all."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from compute import tools
from compute.errors import VolumeFailed


async def test_one_that_ends_well_says_nothing(tmp_path: Path) -> None:
    await tools.run("touch", str(tmp_path / "made"))
    assert (tmp_path / "made").exists()


async def test_other_codes_have_to_be_accepted() -> None:
    with pytest.raises(VolumeFailed, match="false failed with code 1"):
        await tools.run("false")
    await tools.run("false", accept=frozenset({1}))


async def test_one_that_is_not_installed() -> None:
    with pytest.raises(VolumeFailed, match="no-such-tool is not installed"):
        await tools.run("no-such-tool")


async def test_one_that_takes_too_long_is_ended() -> None:
    with pytest.raises(VolumeFailed, match="sleep took longer than 0 s"):
        await tools.run("sleep", "600", timeout_s=0.1)


async def test_it_does_not_outlive_who_waits_for_it() -> None:
    seconds = f"600.{uuid4().int}"
    running = asyncio.create_task(tools.run("sleep", seconds))
    while not _runs(seconds):
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not _runs(seconds)


def _runs(word: str) -> bool:
    """Whether a process has the word among its arguments."""
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if word in arguments.read_text().split("\0"):
                return True
    return False


async def test_one_given_up_before_its_turn_never_starts(tmp_path: Path) -> None:
    process = tools._Process(("/usr/bin/touch", str(tmp_path / "never")))
    process.give_up()
    process.run(60)
    assert not (tmp_path / "never").exists()
