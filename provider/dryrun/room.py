"""A folder and a name for one dry run at a time, the same ones for the next.

A dry run that was killed leaves a container, perhaps a mount, and files. So both have fixed
places: as many rooms as a person's dry runs have been under way at once, each locked while it is
in use. Whoever takes a room clears it first. The name of the operator is the room's, so no dry
run touches another's container, and none a provider's.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compute.engines.base import Engine
from compute.space import LoopSpace, WatchedSpace
from provider.client.errors import ClientUsageError

MOST_ROOMS = 16


@dataclass(frozen=True, slots=True)
class Room:
    """``data_dir`` is where the dry run keeps its things, ``operator_id`` marks its container."""

    data_dir: Path
    operator_id: str


@contextmanager
def taken(folder: Path) -> Iterator[Room]:
    """The first room below ``folder`` that is free. Raises ClientUsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ClientUsageError(f"{folder} cannot be made: {error.strerror}.") from None
    for number in range(MOST_ROOMS):
        descriptor = os.open(
            folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        try:
            yield Room(folder / str(number), f"dry-run-{os.geteuid()}-{number}-{_home(folder)}")
        finally:
            os.close(descriptor)
        return
    raise ClientUsageError(f"{MOST_ROOMS} dry runs are under way already; wait for one to end.")


def _home(folder: Path) -> str:
    """Tells rooms in several folders apart: a file system's and a folder's number."""
    status = folder.stat()
    return f"{status.st_dev:x}-{status.st_ino:x}"


async def clear(room: Room, engine: Engine) -> None:
    """Take away what an earlier dry run has left in the room. Raises EngineUnavailable,
    VolumeFailed, OSError."""
    for name in await engine.owned():
        await engine.remove(name)
    jobs = room.data_dir / "jobs"
    for job in list(jobs.iterdir()) if jobs.is_dir() else []:
        for space in (LoopSpace(), WatchedSpace()):
            await space.release(job)
    if room.data_dir.exists():
        await asyncio.to_thread(shutil.rmtree, room.data_dir)
    room.data_dir.mkdir(mode=0o700)
