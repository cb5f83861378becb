"""The provider's side of the demo: a hospital with a table that must not leave it.

Makes everything an operator would make by hand (table, DDO, environments.yaml, key) in a
working folder, and runs the service as its own process, the way an operator runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import docker

COMMAND = Path(sys.executable).with_name("ocean-compute")
DID = "did:op:" + hashlib.sha256(b"breast cancer table of the demo").hexdigest()
SERVICE_ID = "compute"
ENVIRONMENT = "hospital"
FEATURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
STATISTICS = ("mean", "error of", "worst")
DIAGNOSES = ("malignant", "benign")
PID_FILE = "provider.pid"

_START_S = 30
_STOP_S = 60


class DemoFailedError(Exception):
    """The demo cannot go on; the text says why."""


class Hospital:
    """The working folder, and the service over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "provider.log"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._data = folder / "provider"

    def furnish(self, source: Path, consumer: str) -> int:
        """Write the operator's files; ``consumer`` is the one wallet that may use them.

        ``source`` is scikit-learn's own table. Returns the number of patients.
        """
        for name in ("assets", "files", "provider"):
            (self.folder / name).mkdir(parents=True)
        patients = _write_table(source, self.folder / "files" / "patients.csv")
        ddo = json.dumps(document(consumer, self.url), indent=2)
        (self.folder / "assets" / "patients.json").write_text(ddo)
        (self.folder / "environments.yaml").write_text(environments(consumer))
        subprocess.run(  # noqa: S603 (our own command)
            [COMMAND, "key", "new", self.folder / "provider.key"], check=True, capture_output=True
        )
        return patients

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The service, from the moment it answers until it has ended and left nothing."""
        with self.log.open("wb") as log:
            service = await asyncio.create_subprocess_exec(
                COMMAND, "serve", env=self._variables(), stdout=log, stderr=log
            )
        (self.folder / PID_FILE).write_text(str(service.pid))
        try:
            await self._answers(service)
            yield
        finally:
            await _end(service)
        (self.folder / PID_FILE).unlink()
        if service.returncode:
            raise DemoFailedError(f"the provider ended with exit code {service.returncode}")
        shutil.rmtree(self._data)

    def _variables(self) -> dict[str, str]:
        return {
            **os.environ,
            "PROVIDER_PRIVATE_KEY_FILE": str(self.folder / "provider.key"),
            "ENVIRONMENTS_FILE": str(self.folder / "environments.yaml"),
            "ASSETS_DIR": str(self.folder / "assets"),
            "FILES_DIR": str(self.folder / "files"),
            "DATA_DIR": str(self._data),
            "LISTEN_HOST": "127.0.0.1",
            "LISTEN_PORT": str(self.port),
            "PUBLIC_URL": self.url,
        }

    async def _answers(self, service: Process) -> None:
        for _ in range(_START_S * 20):
            if service.returncode is not None:
                raise DemoFailedError("the provider did not start")
            try:
                await asyncio.to_thread(_get, self.url)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return
        raise DemoFailedError(f"the provider did not answer within {_START_S} s")


def document(consumer: str, url: str) -> dict[str, object]:
    """The asset as its publisher describes it: who may compute on it, and what."""
    return {
        "@context": ["https://w3id.org/did/v1"],
        "id": DID,
        "version": "4.1.0",
        "metadata": {
            "created": "2025-01-01T00:00:00Z",
            "updated": "2025-01-01T00:00:00Z",
            "type": "dataset",
            "name": "Breast cancer, 569 patients",
            "description": "Measurements of cell nuclei, and the diagnosis",
            "author": "UCI Machine Learning Repository",
            "license": "CC BY 4.0",
        },
        "services": [
            {
                "id": SERVICE_ID,
                "type": "compute",
                "serviceEndpoint": url,
                "timeout": 0,
                "files": {"files": [{"type": "localfile", "path": "patients.csv"}]},
                "compute": {"allowRawAlgorithm": True, "allowNetworkAccess": False},
            }
        ],
        "credentials": {"allow": [{"type": "address", "values": [consumer]}], "deny": []},
    }


def environments(consumer: str) -> str:
    return f"""\
environments:
  - id: {ENVIRONMENT}
    description: One processor beside the data, no network
    cpu: 1
    ramGB: 1
    diskGB: 0.25
    maxJobs: 2
    maxJobDuration: 600
    stopGrace: 1.0
    images:
      allow: ["ocean-compute-demo/*"]
      pull: never
    consumers:
      allow: ["{consumer}"]
"""


def _write_table(source: Path, target: Path) -> int:
    """Give scikit-learn's table (two numbers and two words first, no names) a header."""
    with source.open(newline="") as lines, target.open("w", newline="") as out:
        table = csv.reader(lines)
        next(table)
        rows = [[*measured, DIAGNOSES[int(diagnosis)]] for *measured, diagnosis in table]
        writer = csv.writer(out)
        writer.writerow(
            [*(f"{kind} {name}" for kind in STATISTICS for name in FEATURES), "diagnosis"]
        )
        writer.writerows(rows)
    target.chmod(0o644)
    return len(rows)


def clear(folder: Path) -> None:
    """Remove an earlier demo's folder and whatever it left running, had it been killed."""
    _end_earlier(folder)
    sweep(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _end_earlier(folder: Path) -> None:
    """End the provider of a demo that was killed before it could do so itself."""
    try:
        pid = int((folder / PID_FILE).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return
    if bytes(COMMAND) in command:
        os.kill(pid, signal.SIGKILL)


def sweep(folder: Path) -> list[str]:
    """Remove containers and mounts that use the folder; tells what there was."""
    left = []
    engine = docker.from_env()
    try:
        for container in engine.containers.list(all=True):
            if any(_below(mount["Source"], folder) for mount in container.attrs["Mounts"]):
                left.append(f"container {container.name}")
                container.remove(force=True)
    finally:
        engine.close()
    for place in _mounts_below(folder):
        left.append(f"mount {place}")
        subprocess.run(["umount", place], check=True)  # noqa: S603, S607
    return left


def _mounts_below(folder: Path) -> list[str]:
    mounts = Path("/proc/self/mounts")
    lines = mounts.read_text().splitlines() if mounts.exists() else []
    places = (line.split()[1] for line in lines)
    return [place for place in places if _below(place, folder)]


def _below(path: str, folder: Path) -> bool:
    return Path(path).is_relative_to(folder)


def _get(url: str) -> None:
    with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 (our own service)
        answer.read()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _end(service: Process) -> None:
    if service.returncode is None:
        service.terminate()
    try:
        await asyncio.wait_for(service.wait(), _STOP_S)
    except TimeoutError:
        service.kill()
        await service.wait()
