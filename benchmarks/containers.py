"""The same container without the service: by the engine's API, and by ``docker run``.

What "the same" is, the engine says itself: a job of the service is looked at while it runs,
and its settings are taken over word for word, with folders of their own instead of the job's.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from support.consumer import Consumer, raw
from support.service import DATASET, Service, engine, image_id

Json = dict[str, Any]

_CONFIG = ("Image", "User", "Env", "WorkingDir", "StopSignal", "Healthcheck", "NetworkDisabled")
_VERSION = "v1.41"
_SOCKET = "/var/run/docker.sock"


class Twin:
    """Runs ``true`` in containers like those of a service's jobs, ``folder`` mounted."""

    def __init__(self, found: Json, folder: Path) -> None:
        config, host = found["Config"], found["HostConfig"]
        folder.mkdir()
        self._config = {key: config[key] for key in _CONFIG if config.get(key) is not None}
        self._mounts = [
            {**mount, "Source": str(_place(folder, Path(mount["Source"])))}
            for mount in host["Mounts"]
        ]
        self._host = {**host, "Mounts": self._mounts}
        self._numbers = itertools.count()
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    async def of(cls, service: Service, consumer: Consumer, folder: Path) -> Self:
        """As the service makes them at this moment in its environment ``test``."""
        job = await consumer.start(raw("sleep 60", checksum=image_id()), [DATASET])
        await consumer.follow(job["jobId"], until={40})
        with engine() as client:
            twin = cls(client.inspect_container(f"ocean-compute-{job['jobId']}"), folder)
        await consumer.stop(job["jobId"])
        await consumer.follow(job["jobId"])
        return twin

    async def __aenter__(self) -> Self:
        connector = aiohttp.UnixConnector(_SOCKET, limit=0)
        self._session = aiohttp.ClientSession(f"http://engine/{_VERSION}/", connector=connector)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._session
        await self._session.close()

    async def by_api(self, **changes: Any) -> None:
        """Make, start, wait, remove: the least that a container takes. ``changes`` are to its
        settings."""
        name = f"ocean-compute-bench-{os.getpid()}-{next(self._numbers)}"
        body = {**self._config, "Entrypoint": ["true"], "Cmd": [], "HostConfig": self._host}
        body |= changes
        await self._ask("POST", f"containers/create?name={name}", body)
        await self._ask("POST", f"containers/{name}/start")
        answer = await self._ask("POST", f"containers/{name}/wait")
        await self._ask("DELETE", f"containers/{name}?v=1&force=1")
        assert json.loads(answer)["StatusCode"] == 0, answer

    async def many(self, number: int, at_once: int, **changes: Any) -> float:
        """Seconds that so many containers take, ``at_once`` of them at a time."""
        left = iter(range(number))

        async def work() -> None:
            for _ in left:
                await self.by_api(**changes)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        return time.perf_counter() - began

    async def by_command(self) -> float:
        """Seconds from the call of ``docker run --rm`` until it has ended."""
        words = ["docker", "run", "--rm", *self.flags(), str(self._config["Image"]), "true"]
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.DEVNULL)
        assert await process.wait() == 0
        return time.perf_counter() - began

    def flags(self) -> list[str]:
        """The settings as the command line spells them. There is no flag for a container that
        the engine's networking does not know (NetworkDisabled); ``--network none`` shows a
        container the same."""
        host = self._host
        limits = host["LogConfig"]["Config"]
        words = [
            *("--network", host["NetworkMode"], "--user", self._config["User"]),
            *("--memory", str(host["Memory"]), "--memory-swap", str(host["MemorySwap"])),
            *("--cpus", str(host["NanoCpus"] / 1e9), "--pids-limit", str(host["PidsLimit"])),
            *("--ipc", host["IpcMode"], "--shm-size", str(host["ShmSize"])),
            *("--oom-score-adj", str(host["OomScoreAdj"]), "--no-healthcheck"),
            *("--stop-signal", self._config["StopSignal"], "-w", self._config["WorkingDir"]),
            *("--log-driver", host["LogConfig"]["Type"]),
            *_each("--log-opt", [f"{key}={value}" for key, value in limits.items()]),
            *_each("--cap-drop", host["CapDrop"]),
            *_each("--security-opt", host["SecurityOpt"]),
            *_each("--tmpfs", [f"{path}:{how}" for path, how in host["Tmpfs"].items()]),
            *_each("--ulimit", [f"{u['Name']}={u['Soft']}:{u['Hard']}" for u in host["Ulimits"]]),
            *_each("-e", self._config["Env"]),
            *_each("--mount", [_spelt(mount) for mount in self._mounts]),
        ]
        return [*words, "--read-only"] if host["ReadonlyRootfs"] else words

    async def _ask(self, method: str, path: str, body: Json | None = None) -> bytes:
        assert self._session
        async with self._session.request(method, quote(path, safe="/?&=-"), json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.read()


def _place(folder: Path, source: Path) -> Path:
    """A copy, so that a mount below another one finds its place there, too."""
    place = folder / source.name
    if source.is_file():
        shutil.copyfile(source, place)
    else:
        shutil.copytree(source, place, symlinks=True)
        place.chmod(0o777)
    return place


def _each(flag: str, values: Sequence[str] | None) -> list[str]:
    return [word for value in values or () for word in (flag, value)]


def _spelt(mount: Json) -> str:
    read_only = ",readonly" if mount.get("ReadOnly") else ""
    return f"type=bind,src={mount['Source']},dst={mount['Target']}{read_only}"
