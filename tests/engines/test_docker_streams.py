"""How a log is read that grows, is repeated, or loses its oldest part."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_engine import ScriptedEngine

from compute.engines.docker import DockerEngine
from compute.engines.docker.blocks import Unchunked
from compute.engines.docker.logs import Entry, Frames, Going, Known
from compute.errors import EngineUnavailable, LogCut


def entry(number: int, said: bytes = b"") -> Entry:
    return b"2026-01-01T00:00:00.%09dZ" % number, said or b"line %d\n" % number


def frame(one: Entry, stream: int = 1) -> bytes:
    data = one[0] + b" " + one[1]
    return struct.pack(">BxxxL", stream, len(data)) + data


@given(st.lists(st.binary(max_size=40)), st.integers(min_value=1, max_value=17))
def test_entries_are_taken_apart_however_they_arrive(said: list[bytes], size: int) -> None:
    entries = [(entry(n)[0], each) for n, each in enumerate(said)]
    wire = b"".join(frame(one, 1 + n % 2) for n, one in enumerate(entries))
    frames, found = Frames(), []
    for start in range(0, len(wire), size):
        found += frames.feed(wire[start : start + size])
    assert found == entries


@given(st.lists(st.binary(min_size=1, max_size=40)), st.integers(min_value=1, max_value=17))
def test_chunked_coding_is_taken_off_however_it_arrives(parts: list[bytes], size: int) -> None:
    wire = b"".join(b"%x;note=1\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    coding, found = Unchunked(), b""
    for start in range(0, len(wire), size):
        assert not coding.done or start >= len(wire) - 4
        found += coding.feed(wire[start : start + size])
    assert found == b"".join(parts)
    assert coding.done


@pytest.mark.parametrize("wire", [b"no number\r\n", b"x" * 5000])
def test_what_is_no_chunked_coding_is_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match=r"chunked|invalid literal"):
        Unchunked().feed(wire)


def gone_on(known: Known, log: list[Entry], size: int = 3) -> list[Entry]:
    going, new = Going(known), []
    for start in range(0, len(log), size):
        new += going.feed(log[start : start + size])
    going.finish()
    return new


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(1, 9))
def test_reading_goes_on_where_it_was_or_gives_up(
    read: int, more: int, dropped: int, size: int
) -> None:
    """Whatever was dropped from the front, there is no gap and no repetition."""
    log = [entry(n) for n in range(read + more)]
    known = Known()
    known.note(log[:read])
    left = log[min(dropped, len(log)) :]
    if read and dropped > read - min(read, 8) and (dropped or not left):
        with pytest.raises(LogCut):
            gone_on(known, left, size)
    else:
        assert gone_on(known, left, size) == (log[read:] if read else left)


def test_entries_of_two_streams_may_be_out_of_order() -> None:
    log = [entry(n) for n in (1, 2, 5, 4, 3, 9, 8, 7, 12, 11, 10, 13)]
    known = Known()
    known.note(log[:10])
    assert gone_on(known, log[1:]) == log[10:]


def test_parts_of_one_long_line_are_not_taken_for_each_other() -> None:
    log = [entry(1)] + [(entry(2)[0], b"x" * 100)] * 20
    known = Known()
    known.note(log[:12])
    assert gone_on(known, log) == log[12:]
    with pytest.raises(LogCut):
        gone_on(known, log[3:])


def test_the_weight_is_at_least_what_the_engine_stores() -> None:
    known = Known()
    known.note([entry(1, b'\x00"\xff\n')])
    assert known.weight >= len(
        '{"log":"\\u0000\\"\\ufffd\\n","stream":"stderr","time":"2026-01-01T00:00:00.000000001Z"}\n'
    )


async def test_a_stream_that_breaks_off_is_no_end(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readline()).decode()
        if "/version" in asked:
            body = b'{"ApiVersion": "1.41"}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body))
            writer.write(b"Connection: close\r\n\r\n" + body)
        else:
            data = frame(entry(1))
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n" % len(data) + data + b"\r\n40\r\nhalf")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "d.sock")
    engine = engine_at(tmp_path / "d.sock")
    await engine.connect()
    got = b""
    async with aclosing(engine.stream_log("ocean-test-x", follow=False)) as pieces:
        try:
            async for piece in pieces:
                got += piece.data
        except EngineUnavailable:
            got += b"broke"
    assert got == b"line 1\nbroke"
    server.close()


async def test_a_container_that_is_being_removed_counts_as_gone(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path
) -> None:
    refusal = b'{"message": "can not get logs from container which is dead or marked for removal"}'
    async with ScriptedEngine(tmp_path / "d.sock", ("/logs", 409, refusal)) as script:
        engine = engine_at(script.path)
        await engine.connect()
        assert await engine.log_beginning("ocean-test-x") == ""
        assert [one async for one in engine.stream_log("ocean-test-x", follow=False)] == []
