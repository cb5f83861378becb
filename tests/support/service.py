"""The service as its operator runs it: a process of its own, with files on disk."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import docker
import yaml

from compute.engines.base import OPERATOR_LABEL
from provider.migrations import VERSIONS
from support.sqlite import prepared

Json = dict[str, Any]
KEY = "0x" + "11" * 32
DATASET = "did:op:" + "d1" * 32
IMAGE = "ocean-compute-test/busybox"
PROVIDER = ("-m", "provider")
HASTY = ("-P", str(Path(__file__).parent / "hasty.py"))
"""What processes of a service run."""


def dataset_document(did: str, files: list[Json], **compute: Any) -> Json:
    """A DDO with one compute service over plain file objects."""
    return {
        "@context": ["https://w3id.org/did/v1"],
        "id": did,
        "version": "4.1.0",
        "chainId": 8996,
        "nftAddress": "0x" + "aa" * 20,
        "metadata": {
            "created": "2026-01-01T00:00:00Z",
            "updated": "2026-01-01T00:00:00Z",
            "type": "dataset",
            "name": "Rows",
            "description": "A small table",
            "author": "data owner",
            "license": "CC0-1.0",
        },
        "services": [
            {
                "id": "compute",
                "type": "compute",
                "files": {"files": files},
                "datatokenAddress": "0x" + "bb" * 20,
                "serviceEndpoint": "http://127.0.0.1:8030",
                "timeout": 0,
                "compute": {"allowRawAlgorithm": True, "allowNetworkAccess": False, **compute},
            }
        ],
        "credentials": {"allow": [], "deny": []},
    }


class Service:
    """A folder of configuration and the process that serves it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.url = ""
        self.program = PROVIDER
        self._process: subprocess.Popen[bytes] | None = None
        self._environ: dict[str, str] = {}
        for name in ("assets", "files"):
            (root / name).mkdir(parents=True)
        (root / "files" / "rows.csv").write_text("a,b\n1,2\n3,4\n")
        self.publish(dataset_document(DATASET, [{"type": "localfile", "path": "rows.csv"}]))
        self.environments({})

    def publish(self, document: Json) -> None:
        """Put a DDO where the service finds it."""
        name = document["id"].rpartition(":")[2][:16]
        (self.root / "assets" / f"{name}.json").write_text(json.dumps(document))

    def environments(self, *changes: Json) -> None:
        """Write environments.yaml: one small environment for each dictionary of changes. Of
        processors there are more than the machine may have: jobs of tests hardly use theirs."""
        base: Json = {
            "id": "test",
            "cpu": 1,
            "ramGB": 0.25,
            "diskGB": 0.03,
            "maxJobs": 4,
            "maxJobDuration": 60,
            "stopGrace": 0.5,
            "images": {"allow": ["*"], "pull": "never"},
        }
        listed = [base | change for change in changes]
        text = yaml.safe_dump({"machine": {"cpu": 64}, "environments": listed})
        (self.root / "environments.yaml").write_text(text)

    def dialects(self, sections: Json) -> None:
        """Write dialects.yaml: the sections of the further job APIs, by name."""
        path = self.root / "dialects.yaml"
        path.write_text(yaml.safe_dump({"dialects": sections}))

    async def start(self, **environ: str) -> None:
        """Start the process and wait until it answers."""
        self._environ = {
            **{k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}},
            "PROVIDER_PRIVATE_KEY": KEY,
            "DATA_DIR": str(self.data),
            "ENVIRONMENTS_FILE": str(self.root / "environments.yaml"),
            "ASSETS_DIR": str(self.root / "assets"),
            "FILES_DIR": str(self.root / "files"),
            "LISTEN_PORT": str(free_port()),
            "PYTHONUNBUFFERED": "1",
            **environ,
        }
        if (self.root / "dialects.yaml").exists():
            self._environ.setdefault("DIALECTS_FILE", str(self.root / "dialects.yaml"))
        self.url = f"http://127.0.0.1:{self._environ['LISTEN_PORT']}"
        database = self.data / "ocean-compute.db"
        if "DATABASE_URL" not in environ and not database.exists():
            prepared(database, VERSIONS)
        await self.restart()

    def spawn(self, role: str = "serve", **environ: str) -> subprocess.Popen[bytes]:
        """A process of the service with the settings of the last start, some changed."""
        with (self.root / "service.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *self.program, role],
                env={**self._environ, **environ},
                stdout=log,
                stderr=log,
            )

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the operator's with the settings of the last start."""
        return subprocess.run(
            [sys.executable, "-m", "provider", *words],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    async def restart(self) -> None:
        """Start the process again with the settings of the last start."""
        self._process = self.spawn()
        await self._until_it_answers(self._process, self.url)

    async def another(self, **environ: str) -> tuple[str, subprocess.Popen[bytes]]:
        """One more `serve` process beside the first; its URL once it answers, and itself."""
        port = free_port()
        process = self.spawn(LISTEN_PORT=str(port), **environ)
        url = f"http://127.0.0.1:{port}"
        await self._until_it_answers(process, url)
        return url, process

    async def _until_it_answers(self, process: subprocess.Popen[bytes], url: str) -> None:
        async with asyncio.timeout(120), aiohttp.ClientSession() as session:
            while True:
                assert process.poll() is None, self.log()
                try:
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(120)
        self._process = None
        return code

    def log(self) -> str:
        return (self.root / "service.log").read_text(errors="replace")

    def leftovers(self) -> list[str]:
        """What the service's jobs have left in the engine, in the mount table and on disk."""
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        found = [line.split()[1] for line in mounts if str(self.root) in line]
        found += [str(path) for path in (self.data / "jobs").glob("*")]
        found += [str(path) for path in (self.data / "cache" / "partial").glob("*")]
        return found + containers(self.operator_id())

    def sweep(self) -> None:
        """After a failure, take away what would be in the way of others."""
        with engine() as client:
            for name in containers(self.operator_id()):
                client.remove_container(name, force=True)
            for name in self.built_images():
                client.remove_image(name, force=True)
        for mount in Path("/proc/self/mounts").read_text().splitlines():
            if str(self.root) in mount:
                subprocess.run(["umount", mount.split()[1]], check=True)

    def built_images(self) -> set[str]:
        """What the service's builds have left in the engine: images stay as long as their build
        files do."""
        label = f"{OPERATOR_LABEL}={self.operator_id()}"
        with engine() as client:
            found = client.images(filters={"label": label})
        return {tag for each in found for tag in each["RepoTags"] or ()}

    def operator_id(self) -> str:
        """The name under which this service labels what it makes."""
        return (self.data / "operator-id").read_text().strip()


def containers(operator_id: str) -> list[str]:
    """Names of all containers of an operator, running or not."""
    with engine() as client:
        listed = client.containers(all=True, filters={"label": f"{OPERATOR_LABEL}={operator_id}"})
    return [name for container in listed for name in container["Names"]]


@contextlib.contextmanager
def engine() -> Iterator[docker.APIClient]:
    """A client of the real engine."""
    client = docker.APIClient(version="auto")
    try:
        yield client
    finally:
        client.close()


def image_id(reference: str = f"{IMAGE}:1") -> str:
    """What a local image's checksum is."""
    with engine() as client:
        found: str = client.inspect_image(reference)["Id"]
        return found


def _ports() -> Iterator[int]:
    """Below those that connections are given, and others for each process that shares the
    tests: until a service listens at its port, which may take seconds, nobody else takes it."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    share = max(given - 10_000, 8_000) // 8
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    for number in itertools.count(secrets.randbelow(share)):
        yield 10_000 + worker * share + number % share


_PORTS = _ports()


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError
