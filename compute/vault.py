"""Secrets of running stages: files that lie in memory and nowhere else.

A container's variables are stored by the engine, and its inputs lie on disk; what must not,
such as the password of a database, is shown to it as read-only files from a tmpfs of this
machine. The folder is closed to everybody else's users. It does not outlive the machine, and
neither does a container that runs; a stage that has to be made ready again gets it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from compute.errors import VolumeFailed

_TMPFS = {"tmpfs", "ramfs"}


class Vault:
    """Secret files by job, in ``folder``. Every verb may be repeated."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, job_id: str, secrets: Mapping[str, bytes]) -> dict[str, Path]:
        """The secrets as files by name, replacing the job's former ones. Raises VolumeFailed
        where the folder is not in memory."""
        await self.remove(job_id)
        if not secrets:
            return {}
        return await asyncio.to_thread(self._put, job_id, secrets)

    async def remove(self, job_id: str) -> None:
        """Forget a job's secrets."""
        place = self._folder / job_id
        if self._is_ours() and os.path.lexists(place):
            await asyncio.to_thread(_forget, place)

    def jobs(self) -> set[str]:
        """Whose secrets there are."""
        return {place.name for place in self._folder.iterdir()} if self._is_ours() else set()

    async def sweep(self, jobs: Collection[str]) -> None:
        """Forget the secrets of these jobs."""
        for job_id in jobs:
            await self.remove(job_id)

    async def close(self) -> None:
        """Remove the folder if nothing is in it."""
        if self._is_ours():
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _is_ours(self) -> bool:
        """Nothing is removed through somebody else's folder, which may be a link to anywhere."""
        return os.path.lexists(self._folder) and _is_private(self._folder)

    def _put(self, job_id: str, secrets: Mapping[str, bytes]) -> dict[str, Path]:
        place = self._folder / job_id
        try:
            # The engine mounts the files themselves, so nobody has to pass these folders.
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_private(self._folder):
                raise VolumeFailed("The folder of jobs' secrets belongs to somebody else")
            if not is_in_memory(self._folder):
                raise VolumeFailed("The provider has no place in memory for a job's secrets")
            place.mkdir(mode=0o700)
            files = {name: place / name for name in secrets}
            for name, path in files.items():
                path.write_bytes(secrets[name])
                path.chmod(0o444)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise VolumeFailed(f"The job's secrets could not be shown: {reason}") from error
        return files


def _forget(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _is_private(folder: Path) -> bool:
    """Anybody may make a folder of that name where ours is to be."""
    status = folder.lstat()
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    )


def is_in_memory(folder: Path) -> bool:
    """True when the kernel keeps the folder's files in memory."""
    wanted, best, kind = os.path.realpath(folder), "", ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            place = line.split(" ", 5)[4]
            inside = wanted == place or wanted.startswith(place.rstrip("/") + "/")
            if inside and len(place) >= len(best):
                best, kind = place, line.partition(" - ")[2].split(" ", 1)[0]
    return kind in _TMPFS
