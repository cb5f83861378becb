"""Builds on the real engine: what goes in, what a build may do, what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
from engine_bench import BASE, PATIENCE_S, Bench, a_build
from support.engine_proxy import EngineProxy

from compute import dockerfile
from compute.engines.base import BUILD_LABEL, ImageBuild
from compute.engines.docker import DockerEngine, buildlog
from compute.errors import BuildRefused, EngineRefused, EngineUnavailable

pytestmark = pytest.mark.docker

SLEEPS = f"{BASE}RUN echo begun; sleep 1000\n"


class Traces:
    """What the builds of one operator left on the engine."""

    def __init__(self, raw: docker.APIClient, operator_id: str) -> None:
        self._raw = raw
        self._operator_id = operator_id

    def _own(self, found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        mark = sha256(self._operator_id.encode()).hexdigest()[:16]
        return [one for one in found if one["Labels"][BUILD_LABEL].startswith(mark)]

    @property
    def left(self) -> set[str]:
        filters = {"label": BUILD_LABEL}
        containers = self._raw.containers(all=True, filters=filters)
        images = self._raw.images(all=True, filters=filters)
        return {str(one["Id"]) for one in self._own((*containers, *images))}

    @property
    def running(self) -> list[str]:
        found = self._raw.containers(filters={"label": BUILD_LABEL})
        return [str(one["Command"]) for one in self._own(found)]


@pytest.fixture
def traces(raw: docker.APIClient, operator_id: str) -> Traces:
    return Traces(raw, operator_id)


async def until_it_sleeps(traces: Traces) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not any("sleep" in one for one in traces.running):
            await asyncio.sleep(0.02)


async def refusal(engine: DockerEngine, build: ImageBuild) -> BuildRefused:
    with pytest.raises(BuildRefused) as refused:
        async with asyncio.timeout(PATIENCE_S):
            await engine.build(build)
    return refused.value


async def test_what_is_built_runs(docker_bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "context"
    build = a_build(folder, f"{BASE}COPY . /opt/\nRUN ls /opt > /opt/list\n")
    (folder / "sub").mkdir()
    (folder / "sub" / ("é" * 60)).write_text("far")
    (folder / "sub" / "program").write_text("#!/bin/sh\nexit 0\n")
    (folder / "sub" / "program").chmod(0o700)
    (folder / ".dockerignore").write_text("sub\n")
    image_id = await docker_bench.engine.build(build)
    said = await docker_bench.output(
        f"cat /opt/list /opt/sub/{'é' * 60}; /opt/sub/program && echo runs",
        tmp_path,
        image_id=image_id,
    )
    assert said == "Dockerfile\nlist\nsub\nfarruns\n"


async def test_stages_are_built_and_only_the_last_one_stays(
    docker_bench: Bench, traces: Traces, raw: docker.APIClient, tmp_path: Path
) -> None:
    text = f"{BASE[:-1]} AS one\nRUN echo 1 > /made\n{BASE}COPY --from=one /made /\nENV A=1\n"
    image_id = await docker_bench.engine.build(a_build(tmp_path / "context", text))
    said = await docker_bench.output("cat /made", tmp_path, image_id=image_id)
    assert said == "1\n"
    chain = {str(layer["Id"]) for layer in raw.history(image_id)}
    assert traces.left <= chain


async def test_an_image_may_be_built_on_nothing(
    docker_bench: Bench, raw: docker.APIClient, tmp_path: Path
) -> None:
    build = a_build(tmp_path, "FROM scratch\nCOPY Dockerfile /\n")
    image_id = await docker_bench.engine.build(build)
    assert raw.inspect_image(image_id)["RepoTags"] == [build.reference.reference]


async def test_a_container_of_a_built_image_is_no_leftover(
    docker_bench: Bench, tmp_path: Path
) -> None:
    build = a_build(tmp_path, BASE)
    spec = docker_bench.spec("sleep 60", image_id=await docker_bench.engine.build(build))
    await docker_bench.engine.create(spec)
    await docker_bench.engine.start(spec.name)
    await docker_bench.engine.build(a_build(tmp_path, f"{BASE}ENV A=1\n"))
    assert await docker_bench.engine.owned() == {spec.name: spec.job_id}
    assert (await docker_bench.engine.observe(spec.name)).state == "running"


async def test_a_step_of_a_build_is_no_container_of_a_job(
    docker_bench: Bench, traces: Traces, tmp_path: Path
) -> None:
    text = SLEEPS.replace("RUN", "LABEL org.oceanprotocol.compute.operator=x\nRUN")
    task = asyncio.create_task(docker_bench.engine.build(a_build(tmp_path, text)))
    await until_it_sleeps(traces)
    assert await docker_bench.engine.owned() == {}
    task.cancel()
    await asyncio.wait({task})


async def test_a_step_has_no_network_and_only_its_memory(
    docker_engine: DockerEngine, tmp_path: Path
) -> None:
    text = f"{BASE}RUN ls /sys/class/net > /net && [ $(cat /net) = lo ]\n"
    await docker_engine.build(a_build(tmp_path, text))
    error = await refusal(docker_engine, a_build(tmp_path, f"{BASE}RUN tail /dev/zero\n"))
    assert error.public == (
        "A command of the Dockerfile ended with exit code 137: it was killed, as happens for "
        "want of memory"
    )


FAILURES = {
    f"{BASE}RUN echo first; echo last >&2; exit 3\n": "A command of the Dockerfile ended with"
    " exit code 3",
    f"{BASE}COPY nothing /\n": "The engine does not build it: COPY failed",
    f"{BASE}FOO x\n": "The engine does not build it: dockerfile parse error line 3: unknown",
    "FROM ocean-compute-test/never-seen:1\n": "An image that the Dockerfile names is not here",
    "FROM registry.invalid/x:1\n": "An image that the Dockerfile names is not here",
    "FROM x y\n": "The engine does not build it: dockerfile parse error line 1: FROM",
    "": "The engine does not build it: the Dockerfile (Dockerfile) cannot be empty",
}


@pytest.mark.parametrize(("text", "words"), FAILURES.items(), ids=range(len(FAILURES)))
async def test_what_cannot_be_built_says_why_and_leaves_nothing(
    docker_engine: DockerEngine, traces: Traces, tmp_path: Path, text: str, words: str
) -> None:
    error = await refusal(docker_engine, a_build(tmp_path, text))
    assert error.public.startswith(words)
    assert str(tmp_path) not in error.public + error.output
    assert traces.left == set()
    assert await docker_engine.built() == {}


async def test_the_engine_reads_a_dockerfile_as_we_do(
    docker_engine: DockerEngine, tmp_path: Path
) -> None:
    text = (
        "# a\n\nARG A=1\r\n  from \\\n # b\n\n ocean-compute-test/busybox:1 \\ \t\n as One\n"
        " \t# c \\\nR\\\nU\\\n\n# d\nN true \\\n  # ADD a b\n\n&& true\n"
        "FROM one\n\n\\\nCOPY --from=ONE --chown=1:1 /bin/sh /x\nENV\tA=1\nRUN false\n"
    )
    dockerfile.check(text, lambda image: True)
    error = await refusal(docker_engine, a_build(tmp_path, text))
    read = re.findall(r"^Step \d+/\d+ : (\w+)", error.output, re.MULTILINE)
    ours = dockerfile.instructions(dockerfile.labelled(text, "k", "v"))
    assert [word.upper() for word in read] == [one.word for one in ours]


async def test_the_end_of_the_output_is_told(docker_engine: DockerEngine, tmp_path: Path) -> None:
    text = f"{BASE}RUN echo first; echo second >&2; exit 3\n"
    error = await refusal(docker_engine, a_build(tmp_path, text))
    assert "\nfirst\n" in error.output
    assert "\nsecond\n" in error.output
    assert all(letter.isprintable() or letter in "\n\t" for letter in error.output)
    short = await refusal(docker_engine, a_build(tmp_path, text, output_bytes=40))
    assert 0 < len(short.output) <= 40
    assert "intermediate container" in short.output


async def test_a_base_with_steps_of_its_own_is_refused(
    docker_engine: DockerEngine, tmp_path: Path
) -> None:
    trap = a_build(tmp_path, f"{BASE}ONBUILD ADD http://127.0.0.1:1/ /\n")
    base = await docker_engine.build(trap)
    heir = a_build(tmp_path, f"FROM {trap.reference.reference}\n", bases=[base])
    assert "ONBUILD" in (await refusal(docker_engine, heir)).public
    gone = a_build(tmp_path, BASE, bases=["sha256:" + "0" * 64])
    assert "no longer here" in (await refusal(docker_engine, gone)).public


async def test_a_build_that_never_ends_is_cut_off(
    docker_engine: DockerEngine, traces: Traces, tmp_path: Path
) -> None:
    error = await refusal(docker_engine, a_build(tmp_path, SLEEPS, timeout_s=6.0))
    assert error.public == "The build takes longer than 6 seconds"
    assert error.output.rstrip().endswith("begun")
    assert (traces.left, traces.running) == (set(), [])


async def test_a_cancelled_build_goes_no_further(
    docker_engine: DockerEngine, traces: Traces, tmp_path: Path
) -> None:
    task = asyncio.create_task(docker_engine.build(a_build(tmp_path, SLEEPS)))
    await until_it_sleeps(traces)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert (traces.left, traces.running) == (set(), [])


async def test_what_is_cancelled_before_it_begins_never_begins(
    docker_engine: DockerEngine, operator_id: str, traces: Traces, tmp_path: Path
) -> None:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.open()
    engine = DockerEngine(base_url=proxy.url, operator_id=operator_id)
    await engine.connect()
    hold = proxy.hold(r"GET /v[\d.]+/images/json")
    task = asyncio.create_task(engine.build(a_build(tmp_path / "context", BASE)))
    await hold.arrived.wait()
    task.cancel()
    hold.release()
    await asyncio.wait({task})
    assert task.cancelled()
    await engine.close()
    await proxy.cut()
    assert (traces.left, await docker_engine.built()) == (set(), {})


async def test_closing_the_engine_ends_its_builds(
    docker_engine: DockerEngine, traces: Traces, tmp_path: Path
) -> None:
    task = asyncio.create_task(docker_engine.build(a_build(tmp_path, SLEEPS)))
    await until_it_sleeps(traces)
    await docker_engine.close()
    with pytest.raises(EngineUnavailable, match="interrupted"):
        await task
    assert (traces.left, traces.running) == (set(), [])
    await docker_engine.connect()


async def test_a_build_that_prints_without_end_is_cut_off(
    docker_engine: DockerEngine,
    traces: Traces,
    tmp_path: Path,
) -> None:
    error = await refusal(docker_engine, a_build(tmp_path, f"{BASE}RUN yes gigabytes\n"))
    assert error.public == f"The build prints more than {buildlog.MOST_PRINTED >> 20} MiB"
    assert "gigabytes\ngigabytes\n" in error.output[-100:]
    assert len(error.output) <= 64 << 10
    assert traces.left == set()


async def test_a_build_that_fills_the_disk_is_cut_off(
    docker_engine: DockerEngine, traces: Traces, tmp_path: Path
) -> None:
    fills = "while true; do i=$((i+1)); dd if=/dev/zero of=/x$i bs=1M count=4; sleep 0.1; done"
    build = a_build(tmp_path, f"{BASE}RUN {fills}\n", disk_bytes=8 << 20)
    error = await refusal(docker_engine, build)
    assert error.public == "The build writes more than 8 MiB"
    large = f"{BASE}RUN dd if=/dev/zero of=/x bs=1M count=9\n"
    error = await refusal(docker_engine, a_build(tmp_path, large, disk_bytes=8 << 20))
    assert error.public.startswith("A command of the Dockerfile ended with exit code")
    assert traces.left == set()


async def test_stages_of_a_build_share_one_limit(
    docker_engine: DockerEngine, traces: Traces, tmp_path: Path
) -> None:
    stage = "{base}RUN dd if=/dev/zero of=/x bs=1M count=6\n"
    stages = "".join(stage.format(base=BASE) for _ in range(3))
    text = f"{stages}{BASE}RUN sleep 20\n"
    error = await refusal(docker_engine, a_build(tmp_path, text, disk_bytes=8 << 20))
    assert error.public == "The build writes more than 8 MiB"
    assert traces.left == set()


async def test_a_base_with_volumes_is_no_place_to_write(
    docker_engine: DockerEngine, tmp_path: Path
) -> None:
    made = a_build(tmp_path, f"{BASE}VOLUME /v\n")
    base = await docker_engine.build(made)
    named = f"FROM {made.reference.reference}\n"
    error = await refusal(docker_engine, a_build(tmp_path, f"{named}RUN true\n", bases=[base]))
    assert "VOLUME" in error.public
    await docker_engine.build(a_build(tmp_path, f"{named}COPY Dockerfile /d\n", bases=[base]))


async def test_a_build_holds_up_no_other_call(
    operator_id: str, no_thread_left: None, traces: Traces, tmp_path: Path
) -> None:
    engine = DockerEngine(base_url=None, operator_id=operator_id, threads=1)
    await engine.connect()
    tasks = [
        asyncio.create_task(engine.build(a_build(tmp_path / str(number), SLEEPS)))
        for number in range(2)
    ]
    await until_it_sleeps(traces)
    async with asyncio.timeout(PATIENCE_S):
        await engine.ping()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await engine.close()
    assert (traces.left, traces.running) == (set(), [])


async def test_an_engine_that_goes_away_amid_a_build_is_unavailable(
    docker_engine: DockerEngine, operator_id: str, traces: Traces, tmp_path: Path
) -> None:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.open()
    engine = DockerEngine(base_url=proxy.url, operator_id=operator_id)
    await engine.connect()
    task = asyncio.create_task(engine.build(a_build(tmp_path / "context", SLEEPS)))
    await until_it_sleeps(traces)
    await proxy.cut()
    with pytest.raises(EngineUnavailable):
        await task
    await engine.close()
    async with asyncio.timeout(PATIENCE_S):
        while traces.running:
            await asyncio.sleep(0.05)
    # The next build finds what this one could not clear away.
    await refusal(docker_engine, a_build(tmp_path, f"{BASE}RUN false\n"))
    assert traces.left == set()


async def test_only_files_and_folders_go_along(
    docker_engine: DockerEngine, traces: Traces, tmp_path: Path
) -> None:
    for number, make in enumerate(
        (
            lambda path: path.symlink_to("/etc/passwd"),
            lambda path: path.symlink_to(tmp_path),
            os.mkfifo,
        )
    ):
        build = a_build(tmp_path / str(number), BASE)
        make(build.context / "odd")
        assert "symbolic link or a special" in (await refusal(docker_engine, build)).public
    link = a_build(tmp_path / "link", BASE)
    (link.context / "Dockerfile").rename(tmp_path / "elsewhere")
    (link.context / "Dockerfile").symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in (await refusal(docker_engine, link)).public


async def test_another_operator_s_images_are_let_be(
    docker_engine: DockerEngine, tmp_path: Path
) -> None:
    build = a_build(tmp_path, BASE)
    await docker_engine.build(build)
    other = DockerEngine(base_url=None, operator_id=f"test-{uuid4().hex}")
    await other.connect()
    assert await other.built() == {}
    with pytest.raises(EngineRefused, match="not built here"):
        await other.remove_image(build.reference.reference)
    await other.close()
