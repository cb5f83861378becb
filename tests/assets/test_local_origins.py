"""Files that are here: of this machine, and in memory; whole and in pieces."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compute.errors import InputUnavailable
from provider.assets.fetch import Fetcher
from provider.assets.files import parse_file
from provider.assets.origins.base import Part, Probe, SourceFile
from provider.assets.origins.kinds import Origins
from provider.assets.origins.local import LocalOrigin
from provider.assets.origins.text import TextOrigin

CONTENT = bytes(range(256)) * 10_000
Makes = Callable[[bytes], SourceFile]


@pytest.fixture
def local(tmp_path: Path) -> Makes:
    def make(content: bytes) -> SourceFile:
        path = tmp_path / "t.csv"
        path.write_bytes(content)
        return LocalOrigin("t.csv", path, "id")

    return make


def text(content: bytes) -> SourceFile:
    return TextOrigin("algorithm", content.decode("latin-1"), "id")


async def piece(file: SourceFile, range_: str | None = None, **more: Any) -> tuple[Part, bytes]:
    async with file.part(range_, **more) as part:
        return part, b"".join([chunk async for chunk in part.chunks])


async def test_what_a_local_file_is_like(local: Makes) -> None:
    assert await local(CONTENT).probe() == Probe(len(CONTENT), "text/csv", "t.csv")


async def test_what_a_text_is_like() -> None:
    file = text(b"print()")
    assert await file.probe() == Probe(7, "text/plain; charset=utf-8", "algorithm")
    assert file.sha256 == hashlib.sha256(b"print()").hexdigest()


@pytest.mark.parametrize(
    ("range_", "first", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=1500000-", 1_500_000, 2_560_000),
        ("bytes=-10", 2_559_990, 2_560_000),
        ("bytes=2559999-9999999", 2_559_999, 2_560_000),
        ("bytes=0-2000000", 0, 2_000_001),
    ],
)
async def test_pieces_of_a_local_file(local: Makes, range_: str, first: int, stop: int) -> None:
    part, content = await piece(local(CONTENT), range_)
    assert content == CONTENT[first:stop]
    assert (part.status, part.size) == (206, stop - first)
    assert part.content_range == f"bytes {first}-{stop - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("range_", [None, "bytes=5-1", "bytes=0-1,3-4", "lines=1-2", "bytes=-"])
async def test_else_the_whole(local: Makes, range_: str | None) -> None:
    part, content = await piece(local(CONTENT), range_)
    assert content == CONTENT
    assert (part.status, part.size, part.content_range) == (200, len(CONTENT), None)
    assert part.accepts_ranges
    assert part.content_type == "text/csv"


async def test_beyond_the_end_is_nothing(local: Makes) -> None:
    for file in (local(b"abc"), text(b"abc")):
        part, content = await piece(file, "bytes=3-")
        assert (part.status, part.size, content) == (416, 0, b"")
        assert part.content_range == "bytes */3"


async def test_an_empty_file(local: Makes) -> None:
    for file in (local(b""), text(b"")):
        part, content = await piece(file)
        assert (part.status, part.size, content) == (200, 0, b"")


async def test_pieces_of_a_text() -> None:
    part, content = await piece(text(b"abcdef"), "bytes=1-2")
    assert (part.status, part.size, content) == (206, 2, b"bc")
    assert part.content_range == "bytes 1-2/6"


async def test_a_piece_of_a_version_that_is_gone_is_the_whole(local: Makes) -> None:
    for make in (local, text):
        file = make(b"abc")
        part, _ = await piece(file)
        assert part.etag is not None
        known, _ = await piece(file, "bytes=0-0", if_range=part.etag)
        gone, content = await piece(file, "bytes=0-0", if_range='"other"')
        assert (known.status, gone.status, content) == (206, 200, b"abc")


async def test_a_changed_file_has_another_tag(local: Makes) -> None:
    before, _ = await piece(local(b"abc"))
    after, _ = await piece(local(b"abcd"))
    assert before.etag != after.etag


@pytest.mark.parametrize("range_", [None, "bytes=0-2500000"])
async def test_a_file_that_shrinks_meanwhile_is_not_taken(local: Makes, range_: str | None) -> None:
    file = local(CONTENT)
    assert file.path is not None

    async def read_while_it_shrinks() -> None:
        async with file.part(range_) as part:
            async for _ in part.chunks:
                os.truncate(str(file.path), 1_200_000)

    with pytest.raises(InputUnavailable) as caught:
        await read_while_it_shrinks()
    assert caught.value.temporary


async def test_a_file_that_grows_meanwhile_is_not_taken(local: Makes) -> None:
    file = local(CONTENT)

    async def read_while_it_grows() -> None:
        async with file.part() as part:
            async for _ in part.chunks:
                os.truncate(str(file.path), len(CONTENT) + 1)

    with pytest.raises(InputUnavailable):
        await read_while_it_grows()


async def test_no_file_there_any_more(local: Makes) -> None:
    file = local(b"abc")
    assert file.path is not None
    file.path.unlink()
    for asking in (file.probe(), piece(file)):
        with pytest.raises(InputUnavailable):
            await asking
    os.mkfifo(file.path)
    for asking in (file.probe(), piece(file)):
        with pytest.raises(InputUnavailable):
            await asking


async def test_nothing_stays_open(local: Makes) -> None:
    file = local(CONTENT)
    before = set(os.listdir("/proc/self/fd"))
    await file.probe()
    async with file.part() as part:
        async for _ in part.chunks:
            break
    with pytest.raises(RuntimeError):
        async with file.part():
            raise RuntimeError
    assert set(os.listdir("/proc/self/fd")) == before


async def test_only_permitted_authors_name_local_files(tmp_path: Path, fetcher: Fetcher) -> None:
    (tmp_path / "t.csv").write_bytes(b"x")
    raw = parse_file({"type": "localfile", "path": "t.csv"})
    origins = Origins(fetcher, b"k" * 32, data_folder=tmp_path)
    assert origins.source(raw, {}, local=True).path == tmp_path / "t.csv"
    for refusing in (origins, Origins(fetcher, b"k" * 32)):
        with pytest.raises(InputUnavailable, match="not served"):
            refusing.source(raw, {}, local=refusing is not origins)
