"""Forms that are too large, too slow or cut off: refused in time, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from form_desk import END, FILE, MOST, MULTIPART, Desk, head, pour, serving_desk
from kit_server import sent

from provider.dialects.shared.forms import LEAST_FREE_BYTES
from provider.errors import RequestMalformed

# how large


async def test_one_byte_too_many_is_refused(desk: Desk) -> None:
    form = aiohttp.FormData()
    form.add_field("file", b"x" * (MOST + 1), filename="a")
    status, told = await desk.post(form)
    assert status == 413
    assert told == {"said": f"The file is larger than the {MOST} bytes that are taken here."}


async def test_the_first_byte_too_many_ends_it_at_once(desk: Desk) -> None:
    async with desk.unfinished() as sender:
        await sender.send(head(MULTIPART, MOST + 100_000) + FILE + b"x" * MOST)
        await sender.send(b"x")
        assert await sender.status() == 413
        assert desk.files == []


async def test_what_is_announced_too_large_is_not_even_read(desk: Desk) -> None:
    async with desk.unfinished() as sender:
        await sender.send(head(MULTIPART, 10 * MOST))
        assert await sender.status() == 413


@pytest.mark.parametrize("around", [b"--b--", b"", FILE + b"\r\n--b--"])
async def test_what_stands_around_the_parts_is_bounded_too(desk: Desk, around: bytes) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield around or b"x"
        for _ in range(1000):
            yield b"x" * 10_000

    async with desk.unfinished() as sender:
        await sender.send(head(MULTIPART, None))
        pouring = asyncio.create_task(pour(sender, endless()))
        assert await sender.status() == 413
        pouring.cancel()
        await asyncio.wait([pouring])
    assert desk.files == []


# how long


async def test_a_client_that_falls_silent_is_cut_off(desk: Desk) -> None:
    desk.stall_s = 0.2
    async with desk.unfinished() as sender:
        await sender.send(head(MULTIPART, MOST) + FILE + b"x" * 270_000)
        assert await sender.status() == 408
    await desk.emptied()


async def test_a_client_that_drips_is_cut_off(desk: Desk) -> None:
    desk.stall_s = 0.3

    async def drops() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.02)

    async with desk.unfinished() as sender:
        await sender.send(head(MULTIPART, None) + b"6\r\nignore\r\n")
        dripping = asyncio.create_task(pour(sender, drops()))
        assert await sender.status() == 408
        dripping.cancel()
        await asyncio.wait([dripping])


async def test_a_client_that_brings_enough_may_take_its_time(desk: Desk) -> None:
    desk.stall_s = 3.0
    async with desk.unfinished() as sender:
        await sender.send(head(MULTIPART, len(FILE) + 5 * 55_000 + 2 + len(END)) + FILE)
        for _ in range(5):
            await asyncio.sleep(0.7)
            await sender.send(b"x" * 55_000)
        await sender.send(b"\r\n" + END)
        assert await sender.status() == 200


@pytest.mark.parametrize("length", [MOST, None])
async def test_a_client_that_hangs_up_half_way_leaves_nothing(
    desk: Desk, length: int | None
) -> None:
    async with desk.unfinished() as sender:
        body = FILE + b"x" * 270_000
        if length is None:
            body = f"{len(body):x}\r\n".encode() + body + b"\r\n"
        await sender.send(head(MULTIPART, length) + body)
        await desk.begun()
    await desk.emptied()
    assert desk.ended == [RequestMalformed]


async def test_a_length_that_lies_is_no_form(desk: Desk) -> None:
    body = FILE + b"abc\r\n" + END
    answer = await sent(desk.port, head(MULTIPART, len(body) - 10) + body)
    assert answer.status == 400
    async with desk.unfinished() as sender:
        await sender.send(head(MULTIPART, len(body) + 10) + body)
        sender.writer.write_eof()
    await desk.emptied()
    assert None not in desk.ended


async def test_chunks_that_are_none_are_refused(desk: Desk) -> None:
    async with desk.unfinished() as sender:
        await sender.send(head(MULTIPART, None) + b"5\r\n--b\r\n\r\nzz\r\n")
        assert await sender.status() == 400
    assert desk.files == []


async def test_an_end_of_the_service_half_way_leaves_nothing(tmp_path: Path) -> None:
    async with AsyncExitStack() as connections:
        async with serving_desk(tmp_path / "uploads") as desk:
            sender = await connections.enter_async_context(desk.unfinished())
            await sender.send(head(MULTIPART, MOST) + FILE + b"x" * 270_000)
            await desk.begun()
        await desk.emptied()
    assert desk.ended == [asyncio.CancelledError]


async def test_a_disk_that_is_nearly_full_takes_no_file(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    small = tmp_path / "small"
    small.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={LEAST_FREE_BYTES}", "none", str(small))
    subprocess.run(mount, check=True)
    try:
        async with serving_desk(small / "uploads") as desk:
            (small / "taken").write_bytes(b"x")
            form = aiohttp.FormData()
            form.add_field("file", b"x", filename="a")
            status, told = await desk.post(form)
            assert status == 503
            assert told == {"said": "Files cannot be taken in at the moment; try again."}
            assert (await desk.post({"name": "x"}))[0] == 200
    finally:
        subprocess.run(("umount", str(small)), check=True)
