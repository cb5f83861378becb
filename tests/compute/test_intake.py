"""What goes wrong in a thread is told to whoever brings the next batch, or comes to the end."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from compute.intake import BATCH_BYTES, Intake, intake

BATCH = [bytes(BATCH_BYTES // 2), b"x" * BATCH_BYTES]


async def test_batches_follow_each_other(tmp_path: Path) -> None:
    pieces = [bytes([number]) * (BATCH_BYTES // 3 + number) for number in range(20)]
    async with intake(tmp_path / "file") as into:
        for start in range(0, len(pieces), 3):
            await into.take(pieces[start : start + 3])
        digest = await into.finish()
    content = (tmp_path / "file").read_bytes()
    assert content == b"".join(pieces)
    assert digest == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o444


async def test_a_full_disk_is_told_with_the_next_batch() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        into = Intake(full)
        await into.take(BATCH)
        with pytest.raises(OSError, match="No space left") as caught:
            await into.take(BATCH)
        assert caught.value.errno == errno.ENOSPC


async def test_a_full_disk_is_told_at_the_end() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        into = Intake(full)
        await into.take(BATCH)
        with pytest.raises(OSError, match="No space left"):
            await into.finish()


async def test_what_was_abandoned_complains_of_nothing() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        into = Intake(full)
        await into.take(BATCH)
        await into.abandon()
