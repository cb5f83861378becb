"""SHA-256 of files that are used where they lie, each read once.

Such a file may be large and is anybody's to change. What was computed is kept under all that
the file system tells of the file: a job that finds it as it was reads nothing. What was
written to so lately that a further change would not show is read again next time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from compute.errors import InputUnavailable

_READ_BYTES = 1 << 20
_TRIES = 3

SETTLED_S = 2.0
"""File systems count time in steps of up to two seconds."""

FORGOTTEN_S = 90 * 24 * 3600.0
"""What no job has used for so long is not kept."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file holds: SHA-256 (lower-case hexadecimal) and size in bytes."""

    sha256: str
    size: int


class FileDigests:
    """Digests by file, in ``folder``, which names no file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Make the folder; forget what has not been used for long."""
        self._folder.mkdir(parents=True, exist_ok=True)
        oldest = time.time() - FORGOTTEN_S
        for entry in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if entry.stat().st_mtime < oldest:
                    entry.unlink()

    async def of(self, path: Path) -> Digest:
        """The file's digest, of one state of it. Given up when the caller is cancelled.

        Raises InputUnavailable for one that cannot be read or does not stop changing.
        """
        given_up = threading.Event()
        try:
            return await asyncio.to_thread(self._of, path, given_up)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise InputUnavailable(f"a file of the provider's cannot be read: {reason}") from error
        finally:
            given_up.set()

    def _of(self, path: Path, given_up: threading.Event) -> Digest:
        place = self._folder / hashlib.sha256(os.fsencode(path)).hexdigest()
        with path.open("rb") as file:
            for _ in range(_TRIES):
                before, began = _signs(file.fileno()), time.time()
                known = _recall(place, before)
                if known is not None:
                    return known
                found = read(file.fileno(), given_up)
                if _signs(file.fileno()) == before and found.size == before[2]:
                    if began - max(before[3:]) / 1e9 > SETTLED_S:
                        self._remember(place, before, found)
                    return found
        raise InputUnavailable("a file of the provider's is being changed", temporary=True)

    def _remember(self, place: Path, signs: list[int], found: Digest) -> None:
        """Not to keep it only costs time."""
        partial = place.with_name(f"{uuid.uuid4().hex}.partial")
        try:
            partial.write_text(json.dumps({"signs": signs, "sha256": found.sha256}))
            partial.rename(place)
        except OSError:
            partial.unlink(missing_ok=True)


def read(descriptor: int, given_up: threading.Event | None = None) -> Digest:
    """The digest of an open file from its beginning. Blocking."""
    digest, size = hashlib.sha256(), 0
    while not (given_up and given_up.is_set()):
        part = os.pread(descriptor, _READ_BYTES, size)
        if not part:
            break
        digest.update(part)
        size += len(part)
    return Digest(digest.hexdigest(), size)


def of_file(path: Path) -> Digest:
    """The digest of a file of our own. Blocking. Raises OSError."""
    with path.open("rb") as file:
        return read(file.fileno())


def of_bytes(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest(), len(data))


def _signs(descriptor: int) -> list[int]:
    """Device, inode, size, and times of the last changes in nanoseconds."""
    status = os.fstat(descriptor)
    return [
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    ]


def _recall(place: Path, signs: list[int]) -> Digest | None:
    try:
        stored = json.loads(place.read_text())
        if stored["signs"] != signs:
            return None
        found = Digest(str(stored["sha256"]), signs[2])
        os.utime(place)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found
