"""The newest part of a log of any length, in bounded memory, all or nothing."""

from __future__ import annotations

import asyncio
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_engine import ScriptedEngine

from compute.engines.docker import DockerEngine
from compute.engines.docker.logs import NewestPart, payload
from compute.errors import EngineUnavailable


def frame(data: bytes, stream: int = 1) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


@given(st.lists(st.binary(max_size=40)), st.integers(min_value=1, max_value=17))
def test_frames_are_taken_apart_however_they_arrive(parts: list[bytes], size: int) -> None:
    wire = b"".join(frame(part, 1 + number % 2) for number, part in enumerate(parts))
    chunks = (wire[start : start + size] for start in range(0, len(wire), size))
    assert b"".join(payload(chunks)) == b"".join(parts)


def test_a_frame_cut_short_gives_what_there_was() -> None:
    assert b"".join(payload([frame(b"whole"), frame(b"half")[:-2]])) == b"wholeha"


@pytest.mark.parametrize("limit", [0, 1, 7, 64, 1000])
@pytest.mark.parametrize("size", [1, 3, 64, 500])
def test_the_last_bytes_are_kept_in_order(tmp_path: Path, limit: int, size: int) -> None:
    data = bytes(number % 251 for number in range(1500))
    for total in (0, limit, min(2 * limit, 1500), 1500):
        with NewestPart(tmp_path / "log", limit) as newest:
            for start in range(0, total, size):
                newest.write(data[:total][start : start + size])
            newest.publish()
        kept = data[max(0, total - limit) : total] if limit else b""
        assert (tmp_path / "log").read_bytes() == kept
        assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_an_endless_log_takes_no_memory(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(400):
            yield frame(b"x" * 65536)

    tracemalloc.start()
    with NewestPart(tmp_path / "log", 8 << 20) as newest:
        for part in payload(chunks()):
            newest.write(part)
        newest.publish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "log").stat().st_size == 8 << 20
    assert peak < 2 << 20


def test_until_published_the_old_log_stays(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old")
    with NewestPart(tmp_path / "log", 100) as newest:
        newest.write(b"new")
        assert (tmp_path / "log").read_text() == "old"
    assert (tmp_path / "log").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_links_at_the_target_are_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "log").symlink_to(victim)
    (tmp_path / ".log.partial").symlink_to(victim)
    with NewestPart(tmp_path / "log", 100) as newest:
        newest.write(b"new")
        newest.publish()
    assert victim.read_text() == "untouched"
    assert (tmp_path / "log").read_text() == "new"
    assert not (tmp_path / "log").is_symlink()


async def test_a_stream_that_breaks_leaves_no_half_log(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readline()).decode()
        if "/version" in asked:
            body = b'{"ApiVersion": "1.41"}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body))
            writer.write(b"Connection: close\r\n\r\n" + body)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"d\r\n" + frame(b"hello") + b"\r\n40\r\nhalf")
        await writer.drain()
        writer.close()

    folder = tmp_path / "logs"
    folder.mkdir()
    server = await asyncio.start_unix_server(serve, tmp_path / "d.sock")
    engine = engine_at(tmp_path / "d.sock")
    await engine.connect()
    with pytest.raises(EngineUnavailable):
        await engine.save_log("ocean-test-x", folder / "log", 100)
    assert list(folder.iterdir()) == []
    server.close()


async def test_a_log_that_was_cut_short_by_nobody_is_whole(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path
) -> None:
    body = frame(b"out\n") + frame(b"err\n", 2)
    async with ScriptedEngine(tmp_path / "d.sock", ("/logs", 200, body)) as script:
        engine = engine_at(script.path)
        await engine.connect()
        await engine.save_log("ocean-test-x", tmp_path / "log", 100)
    assert (tmp_path / "log").read_bytes() == b"out\nerr\n"
