"""What a container can do on a real engine, seen from inside: as little as possible."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
from engine_bench import Bench, listening

from compute.engines.base import ContainerState, Mount
from compute.errors import EngineRefused

pytestmark = pytest.mark.docker

MIB = 1 << 20
ImageMaker = Callable[..., str]


@pytest.fixture
def make_image(raw: docker.APIClient, docker_bench: Bench) -> Iterator[ImageMaker]:
    """Images like the test image with other settings (Dockerfile instructions), whose
    signal to stop is one that stops nothing."""
    made: list[str] = []

    def make(*changes: str) -> str:
        name = f"ocean-test-{uuid4().hex}"
        source = raw.create_container(docker_bench.image_id, ["true"], name=name)
        tag = f"ocean-compute-test/{name}"
        try:
            settings = {"StopSignal": "SIGCONT"}
            raw.commit(source, repository=tag, tag="1", changes=list(changes), conf=settings)
            made.append(f"{tag}:1")
        finally:
            raw.remove_container(source, force=True)
        return str(raw.inspect_image(f"{tag}:1")["Id"])

    yield make
    for tag in made:
        raw.remove_image(tag, force=True)


async def test_it_has_no_rights(docker_bench: Bench, tmp_path: Path) -> None:
    text = await docker_bench.output("id; cat /proc/self/status", tmp_path)
    assert text.startswith("uid=65534 gid=65534")
    facts = dict(line.split(":", 1) for line in text.splitlines()[1:])
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts[kind], 16) == 0
    assert facts["NoNewPrivs"].strip() == "1"
    assert facts["Seccomp"].strip() == "2"


async def test_it_has_no_network_but_its_own_loopback(docker_bench: Bench, tmp_path: Path) -> None:
    script = (
        "ls /sys/class/net; cat /sys/class/net/lo/flags /proc/net/route; readlink /proc/1/ns/net"
    )
    *shown, routes, namespace = (await docker_bench.output(script, tmp_path)).splitlines()
    up_and_loopback = "0x9"
    assert shown == ["lo", up_and_loopback]
    assert routes.startswith("Iface")
    assert namespace != os.readlink("/proc/self/ns/net")


async def test_it_gets_a_network_when_that_is_asked_for(
    docker_bench: Bench, tmp_path: Path
) -> None:
    text = await docker_bench.output("ls /sys/class/net", tmp_path, network="bridge")
    assert "eth0" in text.split()


async def test_its_root_is_read_only_and_tmp_is_home(docker_bench: Bench, tmp_path: Path) -> None:
    script = (
        "echo $HOME; pwd; touch /x 2>&1; touch /data/x 2>&1; touch /dev/x 2>&1;"
        "echo 'echo run' > /tmp/s; chmod +x /tmp/s; sh /tmp/s; stat -c %a /tmp"
    )
    lines = (await docker_bench.output(script, tmp_path, user="0:0")).splitlines()
    assert lines[:2] == ["/tmp", "/data"]
    assert "Read-only" in lines[2]
    assert "Read-only" in lines[3]
    assert "run" in lines
    assert lines[-1] == "1777"


async def test_a_writable_root_is_the_environments_choice(
    docker_bench: Bench, tmp_path: Path
) -> None:
    text = await docker_bench.output(
        "touch /x && echo done", tmp_path, user="0:0", writable_root=True
    )
    assert text == "done\n"


async def test_tmp_is_bounded(docker_bench: Bench, tmp_path: Path) -> None:
    script = "head -c 9000000 /dev/zero > /tmp/f 2>/dev/null; stat -c %s /tmp/f"
    text = await docker_bench.output(script, tmp_path, tmp_bytes=2 * MIB)
    assert int(text.split()[-1]) == 2 * MIB


async def test_a_fork_bomb_ends_at_the_limit(docker_bench: Bench, tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done; echo all; "
    text = await docker_bench.output(script, tmp_path, pids=20)
    assert "fork" in text
    assert "all\n" not in text


async def test_memory_without_swap_is_the_limit(docker_bench: Bench, raw: docker.APIClient) -> None:
    # The engine only begins to listen for it once a container runs.
    spec = await docker_bench.launch("sleep 1; exec tail /dev/zero", memory_bytes=16 * MIB)
    seen = await docker_bench.ended(spec.name)
    assert seen.oom_killed
    assert seen.exit_code == 137
    limits = raw.inspect_container(spec.name)["HostConfig"]
    assert limits["Memory"] == limits["MemorySwap"] == 16 * MIB


async def test_a_single_file_is_bounded(docker_bench: Bench, tmp_path: Path) -> None:
    fill = "sh -c 'head -c 9000000 /dev/zero > /tmp/f' 2>/dev/null"
    script = f"{fill}; stat -c %s /tmp/f; ulimit -c; ulimit -n"
    text = await docker_bench.output(script, tmp_path, file_bytes=MIB)
    assert text.split()[-3:] == [str(MIB), "0", "4096"]


async def test_read_only_mounts_stay_so_even_for_root(docker_bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    text = await docker_bench.output(
        "touch /data/inputs/x 2>&1",
        tmp_path,
        user="0:0",
        mounts=[Mount(tmp_path / "in", "/data/inputs")],
    )
    assert "Read-only" in text
    assert list((tmp_path / "in").iterdir()) == []


async def test_the_engine_is_told_to_take_everything_away(
    docker_bench: Bench, raw: docker.APIClient
) -> None:
    spec = docker_bench.spec(cpus=0.5)
    await docker_bench.engine.create(spec)
    found = raw.inspect_container(spec.name)
    host = found["HostConfig"]
    assert host["Privileged"] is False
    assert host["IpcMode"] == "private"
    assert host["RestartPolicy"]["Name"] in {"", "no"}
    assert host["OomScoreAdj"] == 1000
    assert host["NanoCpus"] == 500_000_000
    assert host["LogConfig"]["Config"] == {"max-size": str(8 * MIB), "max-file": "2"}
    assert not host["Binds"]
    assert not host["Devices"]
    assert not host["PidMode"]
    assert not host["UTSMode"]
    assert found["Config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert [mount["Type"] for mount in found["Mounts"]] in ([], ["tmpfs"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the engine's files")
async def test_a_job_that_logs_without_end_fills_no_disk(
    docker_bench: Bench, raw: docker.APIClient, tmp_path: Path
) -> None:
    script = "i=0; head -c 20000000 /dev/zero | tr '\\0' x | fold -w 100; echo the end"
    spec = await docker_bench.launch(script, log_bytes=MIB)
    await docker_bench.ended(spec.name)
    log = Path(raw.inspect_container(spec.name)["LogPath"])
    on_disk = sum(part.stat().st_size for part in log.parent.glob("*-json.log*"))
    assert MIB // 2 <= on_disk <= MIB + 2 * 16384
    await docker_bench.engine.save_log(spec.name, tmp_path / "log", MIB)
    saved = (tmp_path / "log").read_text()
    assert saved.endswith("the end\n")
    assert MIB // 8 < len(saved) <= MIB


async def test_volumes_of_the_image_are_bounded_and_leave_nothing(
    docker_bench: Bench, raw: docker.APIClient, make_image: ImageMaker, tmp_path: Path
) -> None:
    before = {volume["Name"] for volume in raw.volumes()["Volumes"] or ()}
    image_id = make_image("VOLUME /v", "VOLUME /data/outputs")
    (tmp_path / "out").mkdir()
    spec = await docker_bench.launch(
        "head -c 9000000 /dev/zero > /v/f; stat -c %s /v/f; mount",
        image_id=image_id,
        tmp_bytes=MIB,
        mounts=[Mount(tmp_path / "out", "/data/outputs", read_only=False)],
    )
    await docker_bench.ended(spec.name)
    kinds = {mount["Type"] for mount in raw.inspect_container(spec.name)["Mounts"]}
    await docker_bench.engine.save_log(spec.name, tmp_path / "log", MIB)
    await docker_bench.engine.remove(spec.name)
    text = (tmp_path / "log").read_text()
    assert str(MIB) in text.split()
    assert "volume" not in kinds
    assert {volume["Name"] for volume in raw.volumes()["Volumes"] or ()} <= before


async def test_a_volume_above_our_mounts_hides_none_of_these(
    docker_bench: Bench, make_image: ImageMaker, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rows.csv").write_text("a,b\n")
    text = await docker_bench.output(
        "cat /data/inputs/rows.csv",
        tmp_path,
        image_id=make_image("VOLUME /data"),
        mounts=[Mount(tmp_path / "in", "/data/inputs")],
    )
    assert text == "a,b\n"


async def test_a_mount_of_ours_may_take_the_place_of_tmp(
    docker_bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "x").write_text("ours\n")
    mounts = [Mount(tmp_path / "scratch", "/tmp")]
    assert await docker_bench.output("cat /tmp/x", tmp_path, mounts=mounts) == "ours\n"


async def test_an_image_with_too_many_volumes_is_refused(
    docker_bench: Bench, make_image: ImageMaker
) -> None:
    image_id = make_image(*(f"VOLUME /v{number}" for number in range(40)))
    with pytest.raises(EngineRefused, match="volumes"):
        await docker_bench.engine.create(docker_bench.spec(image_id=image_id))


async def test_an_image_cannot_choose_its_labels_signal_or_entrypoint(
    docker_bench: Bench, make_image: ImageMaker, operator_id: str, tmp_path: Path
) -> None:
    image_id = make_image(
        "LABEL org.oceanprotocol.compute.operator=other",
        'ENTRYPOINT ["/bin/false"]',
        "ENV HOME=/root",
    )
    text = await docker_bench.output("echo $HOME", tmp_path, image_id=image_id)
    assert text == "/tmp\n"
    spec = await docker_bench.launch(
        "trap 'exit 9' TERM; while true; do sleep 0.05; done", image_id=image_id
    )
    await docker_bench.engine.stop(spec.name, 10)
    assert (await docker_bench.engine.observe(spec.name)).exit_code == 9


async def test_without_a_command_the_image_decides(
    docker_bench: Bench, make_image: ImageMaker, tmp_path: Path
) -> None:
    image_id = make_image('ENTRYPOINT ["/bin/sh", "-c", "exit 7"]')
    spec = docker_bench.spec(image_id=image_id, command=[])
    await docker_bench.engine.create(spec)
    async with listening(docker_bench.engine) as events:
        assert await anext(events) == ""
        await docker_bench.engine.start(spec.name)
        assert await anext(events) == spec.job_id
    seen = await docker_bench.engine.observe(spec.name)
    assert (seen.state, seen.exit_code) == (ContainerState.EXITED, 7)


REFUSALS = {
    "entrypoint missing": ({"command": ["/nowhere/run"]}, "entrypoint .* was not found"),
    "entrypoint not in PATH": ({"command": ["nowhere"]}, "entrypoint .* was not found"),
    "entrypoint a folder": ({"command": ["/etc"]}, "cannot be executed"),
    "entrypoint empty": ({"command": ["", "x"]}, "entrypoint is empty"),
    "network missing": ({"network": "no-such-network"}, "network .* does not exist"),
    "device missing": ({"gpus": 1}, "device .* not available"),
    "memory too small": ({"memory_bytes": 1024}, "memory limit"),
    "more CPUs than there are": ({"cpus": 512.0}, "CPUs"),
    "user nonsense": ({"user": "no-such-user"}, "user"),
    "mount inside proc": ({"mounts": [Mount(Path("/usr"), "/proc/x")]}, "proc"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_what_cannot_run_is_refused_in_words_for_the_public(
    docker_bench: Bench, changes: dict[str, Any], words: str
) -> None:
    spec = docker_bench.spec(**changes)

    async def attempt() -> None:
        await docker_bench.engine.create(spec)
        await docker_bench.engine.start(spec.name)

    with pytest.raises(EngineRefused, match=words) as refusal:
        await attempt()
    assert "/var/lib" not in refusal.value.public
    seen = await docker_bench.engine.observe(spec.name)
    assert seen.state is not ContainerState.RUNNING
    await docker_bench.engine.remove(spec.name)


async def test_an_executable_of_another_machine_is_a_failure_not_a_fault(
    docker_bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    program = tmp_path / "in" / "alien"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + b"\0" * 100)
    program.chmod(0o755)
    spec = docker_bench.spec(
        command=["/data/inputs/alien"], mounts=[Mount(tmp_path / "in", "/data/inputs")]
    )
    await docker_bench.engine.create(spec)
    with suppress(EngineRefused):
        await docker_bench.engine.start(spec.name)
        assert (await docker_bench.ended(spec.name)).exit_code != 0
    seen = await docker_bench.engine.observe(spec.name)
    assert seen.state is not ContainerState.RUNNING
    await docker_bench.engine.remove(spec.name)
