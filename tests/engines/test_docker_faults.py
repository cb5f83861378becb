"""A real engine that is away, hangs, comes back or answers nonsense. A proxy plays the
fault; the daemon itself is never touched."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from engine_bench import EXITS_3, TERMINATES, TEST_IMAGE, Bench, listening
from scripted_engine import ScriptedEngine, answer
from support.engine_proxy import EngineProxy

from compute.engines.base import ContainerState, Engine, PullPolicy
from compute.engines.docker import DockerEngine
from compute.errors import EngineRefused, EngineUnavailable, ImageUnavailable
from compute.models import Image

Verb = Callable[[Engine, Path], object]

VERBS: dict[str, Verb] = {
    "ping": lambda engine, _: engine.ping(),
    "ensure_image": lambda engine, _: engine.ensure_image(TEST_IMAGE, PullPolicy.NEVER),
    "pull": lambda engine, _: engine.ensure_image(TEST_IMAGE, PullPolicy.ALWAYS),
    "create": lambda engine, _: engine.create(Bench(engine, "sha256:" + "1" * 64).spec()),
    "start": lambda engine, _: engine.start("ocean-test-nothing"),
    "observe": lambda engine, _: engine.observe("ocean-test-nothing"),
    "stop": lambda engine, _: engine.stop("ocean-test-nothing", 1),
    "save_log": lambda engine, folder: engine.save_log("ocean-test-nothing", folder / "log", 9),
    "remove": lambda engine, _: engine.remove("ocean-test-nothing"),
    "owned": lambda engine, _: engine.owned(),
}


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[EngineProxy]:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.open()
    yield proxy
    await proxy.cut()


@pytest.fixture
async def distant(
    proxy: EngineProxy, engine_at: Callable[[Path], DockerEngine], docker_bench: Bench
) -> Bench:
    """The bench behind the proxy; what it makes is swept by the near engine."""
    engine = engine_at(proxy.path)
    await engine.connect()
    return Bench(engine, docker_bench.image_id)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
async def test_without_an_engine_every_verb_says_unavailable(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path, verb: Verb
) -> None:
    engine = engine_at(tmp_path / "no.sock")
    await engine.connect()
    with pytest.raises(EngineUnavailable, match="does not answer"):
        await verb(engine, tmp_path)  # type: ignore[misc]
    assert not list(tmp_path.glob("*log*"))


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
async def test_an_engine_in_trouble_is_unavailable(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path, verb: Verb
) -> None:
    async with ScriptedEngine(tmp_path / "sick.sock", (".", 503, {"message": "stopping"})):
        engine = engine_at(tmp_path / "sick.sock")
        await engine.connect()
        with pytest.raises(EngineUnavailable):
            await verb(engine, tmp_path)  # type: ignore[misc]


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
async def test_an_engine_that_hangs_up_is_unavailable(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path, verb: Verb
) -> None:
    async with ScriptedEngine(tmp_path / "rude.sock", (".", 0, "")):
        engine = engine_at(tmp_path / "rude.sock")
        await engine.connect()
        with pytest.raises(EngineUnavailable):
            await verb(engine, tmp_path)  # type: ignore[misc]


async def test_before_connecting_and_after_closing_there_is_no_engine(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path
) -> None:
    engine = engine_at(tmp_path / "no.sock")
    with pytest.raises(EngineUnavailable, match="not connected"):
        await engine.ping()
    await engine.connect()
    await engine.close()
    await engine.close()
    with pytest.raises(EngineUnavailable, match="not connected"):
        await engine.ping()


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(EngineRefused, match="address"):
        DockerEngine(base_url="gopher://x", operator_id="x")


@pytest.mark.docker
async def test_an_engine_that_comes_later_is_found(distant: Bench, proxy: EngineProxy) -> None:
    await proxy.cut()
    with pytest.raises(EngineUnavailable):
        await distant.engine.ping()
    await proxy.open()
    await distant.engine.ping()


@pytest.mark.docker
async def test_a_container_survives_the_absence_of_the_engine(
    distant: Bench, proxy: EngineProxy
) -> None:
    spec = await distant.launch(TERMINATES)
    await proxy.cut()
    with pytest.raises(EngineUnavailable):
        await distant.engine.observe(spec.name)
    await proxy.open()
    assert (await distant.engine.observe(spec.name)).state is ContainerState.RUNNING


@pytest.mark.docker
async def test_events_connect_again_and_say_so(distant: Bench, proxy: EngineProxy) -> None:
    async with listening(distant.engine) as events:
        assert await anext(events) == ""
        await proxy.cut()
        await proxy.open()
        assert await anext(events) == ""
        spec = await distant.launch(EXITS_3)
        assert await anext(events) == spec.job_id


@pytest.mark.docker
async def test_events_begin_once_the_engine_is_there(distant: Bench, proxy: EngineProxy) -> None:
    await proxy.cut()
    async with listening(distant.engine) as events:
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await proxy.open()
        assert await first == ""


@pytest.mark.docker
async def test_an_exit_while_the_stream_was_broken_is_told_late(
    distant: Bench, docker_bench: Bench, proxy: EngineProxy
) -> None:
    spec = await distant.launch(TERMINATES)
    async with listening(distant.engine) as events:
        assert await anext(events) == ""
        await proxy.cut()
        await docker_bench.engine.stop(spec.name, 5)
        await proxy.open()
        assert await anext(events) == ""
        assert (await distant.engine.observe(spec.name)).state is ContainerState.EXITED


@pytest.mark.docker
async def test_events_of_other_operators_are_not_heard(
    docker_bench: Bench, engine_at: Callable[[Path], DockerEngine]
) -> None:
    other = DockerEngine(base_url=None, operator_id="test-somebody-else")
    await other.connect()
    async with listening(other) as events:
        assert await anext(events) == ""
        pending = asyncio.ensure_future(anext(events))
        spec = await docker_bench.launch(EXITS_3)
        await docker_bench.ended(spec.name)
        assert await other.owned() == {}
        assert not pending.done()
        await other.close()
        with pytest.raises(StopAsyncIteration):
            await pending


@pytest.mark.docker
async def test_cancelling_a_listener_ends_its_thread(docker_bench: Bench) -> None:
    connected = asyncio.Event()

    async def listen() -> None:
        async for _ in docker_bench.engine.events():
            connected.set()

    task = asyncio.create_task(listen())
    await connected.wait()
    assert "docker-events" in {thread.name for thread in threading.enumerate()}
    task.cancel()
    await asyncio.wait({task}, timeout=60)
    assert "docker-events" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.docker
async def test_closing_ends_listeners(docker_bench: Bench) -> None:
    async with listening(docker_bench.engine) as events:
        assert await anext(events) == ""
        await docker_bench.engine.close()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
    await docker_bench.engine.connect()


@pytest.mark.docker
async def test_a_start_whose_answer_is_lost_may_be_repeated(
    distant: Bench, proxy: EngineProxy
) -> None:
    spec = distant.spec(TERMINATES)
    await distant.engine.create(spec)
    hold = proxy.hold(r"POST /v[\d.]+/containers/[^/]+/start")
    attempt = asyncio.create_task(distant.engine.start(spec.name))
    await hold.arrived.wait()
    await proxy.cut()
    with pytest.raises(EngineUnavailable):
        await attempt
    await proxy.open()
    await distant.engine.start(spec.name)
    await distant.engine.start(spec.name)
    assert (await distant.engine.observe(spec.name)).state is ContainerState.RUNNING


@pytest.mark.docker
async def test_a_cancelled_pull_leaves_no_thread(distant: Bench, proxy: EngineProxy) -> None:
    hold = proxy.hold(r"POST /v[\d.]+/images/create")
    image = Image(image="registry.invalid/never", tag="1")
    pull = asyncio.create_task(distant.engine.ensure_image(image, PullPolicy.MISSING))
    await hold.arrived.wait()
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull
    hold.release()
    async with asyncio.timeout(60):
        while "docker-pull" in {thread.name for thread in threading.enumerate()}:
            await asyncio.sleep(0.01)


@pytest.mark.docker
async def test_a_pull_cut_short_by_closing_is_unavailable(operator_id: str, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if b"/version" in line:
            writer.write(answer(200, {"ApiVersion": "1.41"}))
        elif b"/images/create" in line:
            body = b'{"status":"Downloading"}\n'
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n" % (len(body), body))
            await writer.drain()
            pulling.set()
            await reader.read(1 << 20)
            await reader.read(1)
        else:
            writer.write(answer(404, {"message": "no such image"}))
        writer.close()

    pulling = asyncio.Event()
    server = await asyncio.start_unix_server(serve, tmp_path / "pull.sock")
    engine = DockerEngine(base_url=f"unix://{tmp_path}/pull.sock", operator_id=operator_id)
    await engine.connect()
    image = Image(image="some/image", tag="1")
    pull = asyncio.create_task(engine.ensure_image(image, PullPolicy.ALWAYS))
    await pulling.wait()
    await engine.close()
    with pytest.raises((EngineUnavailable, ImageUnavailable)):
        await pull
    server.close()
    assert "docker-pull" not in {thread.name for thread in threading.enumerate()}


async def test_an_engine_that_was_put_back_a_version_is_asked_anew(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path
) -> None:
    words = "client version 1.41 is too new. Maximum supported API version is 1.40"
    async with ScriptedEngine(tmp_path / "old.sock", (".", 400, {"message": words})):
        engine = engine_at(tmp_path / "old.sock")
        await engine.connect()
        with pytest.raises(EngineUnavailable):
            await engine.observe("ocean-test-nothing")


@pytest.mark.docker
async def test_no_more_calls_than_threads_are_in_flight(
    operator_id: str, no_thread_left: None
) -> None:
    engine = DockerEngine(base_url=None, operator_id=operator_id, threads=2)
    await engine.connect()
    await asyncio.gather(*(engine.ping() for _ in range(20)))
    calls = [one for one in threading.enumerate() if one.name.startswith("docker-call")]
    assert len(calls) <= 2
    await engine.close()
