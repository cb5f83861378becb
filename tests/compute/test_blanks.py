"""Empty file systems out of memory: the same as made anew."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from compute import blanks
from compute.blanks import Blanks

MIB = 1 << 20


class Maker:
    """Writes what it is told to into an image, and counts how often."""

    def __init__(self, *parts: tuple[int, bytes]) -> None:
        self.parts = parts
        self.runs = 0

    async def __call__(self, image: Path) -> None:
        self.runs += 1
        with image.open("r+b") as file:
            for offset, data in self.parts:
                os.pwrite(file.fileno(), data, offset)


async def test_the_second_of_a_kind_is_written_from_memory(tmp_path: Path) -> None:
    make, made = Maker((0, b"head"), (7 * MIB, b"tail")), Blanks()
    for name in ("first", "second"):
        await made.put(tmp_path / name, (9 * MIB, "a"), make)
    assert make.runs == 1
    first, second = tmp_path / "first", tmp_path / "second"
    assert first.read_bytes() == second.read_bytes()
    assert second.stat().st_blocks == first.stat().st_blocks < 1000


async def test_what_was_there_before_is_gone(tmp_path: Path) -> None:
    make, made = Maker((0, b"head")), Blanks()
    await made.put(tmp_path / "first", (MIB, "a"), make)
    (tmp_path / "second").write_bytes(b"x" * 2 * MIB)
    await made.put(tmp_path / "second", (MIB, "a"), make)
    assert (tmp_path / "second").read_bytes() == (tmp_path / "first").read_bytes()


@pytest.mark.parametrize("other", [(2 * MIB, "a"), (MIB, "b")])
async def test_another_kind_is_made(tmp_path: Path, other: tuple[int, str]) -> None:
    make, made = Maker((0, b"head")), Blanks()
    await made.put(tmp_path / "first", (MIB, "a"), make)
    await made.put(tmp_path / "second", other, make)
    assert make.runs == 2
    assert (tmp_path / "second").stat().st_size == other[0]


async def test_one_that_failed_is_no_model(tmp_path: Path) -> None:
    made = Blanks()

    async def fail(image: Path) -> None:
        raise RuntimeError("not made")

    with pytest.raises(RuntimeError):
        await made.put(tmp_path / "first", (MIB, "a"), fail)
    make = Maker((0, b"head"))
    await made.put(tmp_path / "second", (MIB, "a"), make)
    assert make.runs == 1


async def test_memory_is_bounded(tmp_path: Path) -> None:
    large, made = Maker((0, b"x" * (blanks._MOST_BYTES + 1))), Blanks()
    for _ in range(2):
        await made.put(tmp_path / "image", (8 * MIB, "large"), large)
    assert large.runs == 2
    small = Maker((0, b"x"))
    for kind in range(blanks._MOST_KINDS + 1):
        await made.put(tmp_path / "image", (MIB, kind), small)
    await made.put(tmp_path / "image", (MIB, 0), small)
    assert small.runs == blanks._MOST_KINDS + 2


@pytest.mark.skipif(os.geteuid() != 0, reason="may not mount")
async def test_half_an_image_is_none(tmp_path: Path) -> None:
    make, made = Maker((0, b"head"), (MIB, b"x" * MIB)), Blanks()
    await made.put(tmp_path / "first", (4 * MIB, "a"), make)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "small", small], check=True)
    try:
        with pytest.raises(OSError, match="No space left"):
            await made.put(small / "second", (4 * MIB, "a"), make)
    finally:
        subprocess.run(["umount", small], check=True)
