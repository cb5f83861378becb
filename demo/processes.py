"""Processes that a demo starts, and cleaning up after one, also one that was killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import docker
from rich.console import Console

COMMAND = Path(sys.executable).with_name("ocean-compute")
START_S = 30
_STOP_S = 60


class DemoFailedError(Exception):
    """The demo cannot go on; the text says why."""


@contextlib.asynccontextmanager
async def service(
    folder: Path, name: str, words: list[str], variables: Mapping[str, str]
) -> AsyncIterator[Process]:
    """``ocean-compute`` with these words, ended on exit. What it prints is ``<name>.log``;
    its id is kept so that a later demo can end it had this one been killed."""
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            COMMAND, *words, env={**os.environ, **variables}, stdout=log, stderr=log
        )
    pid_file = folder / f"{name}.pid"
    pid_file.write_text(str(process.pid))
    try:
        yield process
    finally:
        await _end(process)
    pid_file.unlink()
    if process.returncode:
        raise DemoFailedError(f"the {name} ended with exit code {process.returncode}")


async def answers(process: Process, url: str) -> None:
    """Return once the process serves ``url``."""
    for _ in range(START_S * 20):
        if process.returncode is not None:
            raise DemoFailedError(f"nothing serves {url}: the process has ended")
        try:
            await asyncio.to_thread(_get, url)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return
    raise DemoFailedError(f"nothing answered at {url} within {START_S} s")


def show_log(console: Console, log: Path) -> None:
    """The end of what a process printed, for when something went wrong."""
    if log.exists():
        console.print(f"\n[bold]End of {log}[/]")
        lines = log.read_text(errors="replace").splitlines()
        console.print("\n".join(lines[-40:]), markup=False, soft_wrap=True)


def make_key(path: Path) -> None:
    """A new wallet key, as an operator makes one."""
    subprocess.run(  # noqa: S603 (our own command)
        [COMMAND, "key", "new", path], check=True, capture_output=True
    )


def clear(folder: Path) -> None:
    """Remove an earlier demo's folder and whatever it left running, had it been killed."""
    for pid_file in folder.glob("*.pid"):
        _end_earlier(pid_file)
    sweep(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _end_earlier(pid_file: Path) -> None:
    """End a process of a demo that was killed before it could do so itself."""
    try:
        pid = int(pid_file.read_text())
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
        for container in engine.containers.list(all=True, ignore_removed=True):
            if any(_below(mount["Source"], folder) for mount in container.attrs["Mounts"]):
                left.append(f"container {container.name}")
                container.remove(force=True)
    finally:
        engine.close()
    for place in _mounts_below(folder):
        left.append(f"mount {place}")
        subprocess.run(["umount", place], check=True)  # noqa: S603, S607
    return left


def image_id(image: str) -> str:
    """The ``sha256:…`` of an image that is here."""
    engine = docker.from_env()
    try:
        return str(engine.images.get(image).id)
    finally:
        engine.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()
