"""Pulls from registries that hang: who waits for whom, and for how long."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from scripted_engine import answer

from compute.engines.base import PullPolicy
from compute.engines.docker import DockerEngine
from compute.engines.docker.calls import Calls
from compute.engines.docker.pulls import PULLS_PER_REGISTRY, Pulls
from compute.errors import EngineUnavailable, ImageUnavailable
from compute.models import Image

PATIENCE_S = 60.0
IMAGE_ID = "sha256:" + "1" * 64
EngineAt = Callable[[Path], DockerEngine]


class HangingRegistry:
    """An engine whose pulls from ``dead.example`` never end; all others do at once.

    ``drips`` makes such a pull say something all the time.
    """

    def __init__(self, path: Path, *, drips: bool = False) -> None:
        self.path = path
        self.pulls: list[str] = []
        self.released = asyncio.Event()
        self._drips = drips
        self._pulled: set[str] = set()
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> HangingRegistry:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def pulled(self, count: int) -> None:
        """Wait until so many pulls were asked for."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: len(self.pulls) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            line = unquote((await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0])
            await self._answer(line, writer)
        except OSError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, line: str, writer: asyncio.StreamWriter) -> None:
        if "/version" in line:
            writer.write(answer(200, {"ApiVersion": "1.41"}))
        elif match := re.search(r"fromImage=(\S+?)&tag=(\S+)", line):
            await self._pull(f"{match[1]}:{match[2]}", writer)
        elif any(f"/{name}/json" in line for name in self._pulled):
            writer.write(answer(200, {"Id": IMAGE_ID}))
        else:
            writer.write(answer(404, {"message": "no such image"}))

    async def _pull(self, name: str, writer: asyncio.StreamWriter) -> None:
        async with self._news:
            self.pulls.append(name)
            self._news.notify_all()
        if name.startswith("dead.example/"):
            await self._hang(writer)
        self._pulled.add(name)
        writer.write(answer(200, b'{"status":"Done"}\n'))

    async def _hang(self, writer: asyncio.StreamWriter) -> None:
        if not self._drips:
            await self.released.wait()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b'15\r\n{"status":"Waiting"}\n\r\n')
            await writer.drain()
            await asyncio.sleep(0.02)


def dead(number: int) -> Image:
    return Image(image=f"dead.example/x{number}", tag="1")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[HangingRegistry]:
    async with HangingRegistry(tmp_path / "d.sock") as registry:
        yield registry


async def _threads_end() -> None:
    async with asyncio.timeout(PATIENCE_S):
        while any(one.name == "docker-pull" for one in threading.enumerate()):
            await asyncio.sleep(0.01)


async def test_a_dead_registry_holds_up_only_its_own_images(
    registry: HangingRegistry, engine_at: EngineAt
) -> None:
    engine = engine_at(registry.path)
    await engine.connect()
    hanging = [
        asyncio.create_task(engine.ensure_image(dead(number), PullPolicy.MISSING))
        for number in range(PULLS_PER_REGISTRY + 8)
    ]
    await registry.pulled(PULLS_PER_REGISTRY)
    async with asyncio.timeout(PATIENCE_S):
        for name in ("lab/alive", "alive.example/x"):
            image = Image(image=name, tag="1")
            assert await engine.ensure_image(image, PullPolicy.MISSING) == IMAGE_ID
        with pytest.raises(ImageUnavailable):
            await engine.ensure_image(Image(image="lab/other", tag="1"), PullPolicy.NEVER)
    assert len(registry.pulls) == PULLS_PER_REGISTRY + 2
    registry.released.set()
    assert await asyncio.gather(*hanging) == [IMAGE_ID] * len(hanging)


async def test_who_wants_the_same_image_shares_its_pull(
    registry: HangingRegistry, engine_at: EngineAt
) -> None:
    engine = engine_at(registry.path)
    await engine.connect()
    wanting = [
        asyncio.create_task(engine.ensure_image(dead(1), PullPolicy.MISSING)) for _ in range(9)
    ]
    await registry.pulled(1)
    wanting.pop().cancel()
    registry.released.set()
    assert await asyncio.gather(*wanting) == [IMAGE_ID] * 8
    assert registry.pulls == ["dead.example/x1:1"]


async def test_when_the_last_who_waits_is_gone_the_pull_ends_and_its_place_is_free(
    registry: HangingRegistry, engine_at: EngineAt
) -> None:
    engine = engine_at(registry.path)
    await engine.connect()
    hanging = [
        asyncio.create_task(engine.ensure_image(dead(number), PullPolicy.MISSING))
        for number in range(PULLS_PER_REGISTRY)
    ]
    await registry.pulled(PULLS_PER_REGISTRY)
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)
    assert all(task.cancelled() for task in hanging)
    again = asyncio.create_task(engine.ensure_image(dead(1), PullPolicy.MISSING))
    await registry.pulled(PULLS_PER_REGISTRY + 1)
    registry.released.set()
    assert await again == IMAGE_ID
    await _threads_end()


async def test_a_pull_that_goes_on_for_ever_ends(tmp_path: Path) -> None:
    async with HangingRegistry(tmp_path / "d.sock", drips=True) as registry:
        pulls = Pulls(Calls(f"unix://{registry.path}", 2), longest_s=0.3)
        with pytest.raises(ImageUnavailable) as caught:
            async with asyncio.timeout(PATIENCE_S):
                await pulls.ensure(dead(1), PullPolicy.MISSING)
        assert caught.value.public == (
            "Image dead.example/x1:1 cannot be pulled: it takes too long"
        )
        assert not caught.value.temporary
        await _threads_end()


async def test_closing_interrupts_running_and_waiting_pulls(tmp_path: Path) -> None:
    async with HangingRegistry(tmp_path / "d.sock", drips=True) as registry:
        pulls = Pulls(Calls(f"unix://{registry.path}", 2))
        hanging = [
            asyncio.create_task(pulls.ensure(dead(number), PullPolicy.MISSING))
            for number in range(PULLS_PER_REGISTRY + 2)
        ]
        await registry.pulled(PULLS_PER_REGISTRY)
        await pulls.close()
        ends = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(end) for end in ends} == {EngineUnavailable}
        await _threads_end()


@pytest.mark.parametrize("where", ["at once", "amid"])
async def test_a_silent_registry_is_not_a_silent_engine(tmp_path: Path, where: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if b"/version" in line:
            writer.write(answer(200, {"ApiVersion": "1.41"}))
        elif b"/images/create" in line:
            if where == "amid":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                writer.write(b'15\r\n{"status":"Waiting"}\n\r\n')
            await reader.read()
        else:
            writer.write(answer(404, {"message": "no such image"}))
        writer.close()

    server = await asyncio.start_unix_server(silent, tmp_path / "d.sock")
    pulls = Pulls(Calls(f"unix://{tmp_path}/d.sock", 2), silence_s=0.2)
    with pytest.raises(ImageUnavailable, match="the registry cannot be reached") as caught:
        async with asyncio.timeout(PATIENCE_S):
            await pulls.ensure(dead(1), PullPolicy.MISSING)
    assert caught.value.temporary
    server.close()
