"""What an image is built from, as the tar that the engine takes, block by block.

A context comes from strangers: only regular files and folders go along, nothing is followed
out of the folder, and the whole is counted before the engine hears of it.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compute.errors import BuildRefused

DOCKERFILE = "Dockerfile"
MOST_BYTES = 1 << 30
MOST_FILES = 20_000
BLOCK = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    name: str
    is_folder: bool
    size: int


class Context:
    """The folder's files with another text for its Dockerfile. Blocking."""

    def __init__(
        self, folder: Path, *, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES
    ) -> None:
        self._entries: list[_Entry] = []
        try:
            self._count(folder, most_bytes, most_files)
        except OSError:
            raise _changed() from None

    def _count(self, folder: Path, most_bytes: int, most_files: int) -> None:
        total = 0
        for entry in _walk(folder):
            self._entries.append(entry)
            total += entry.size
            if total > most_bytes:
                raise BuildRefused(f"The build's files have more than {most_bytes >> 20} MiB")
            if len(self._entries) > most_files:
                raise BuildRefused(f"The build has more than {most_files} files and folders")

    def dockerfile(self, most_bytes: int) -> bytes:
        """What it says, one byte more than ``most_bytes`` at most. Raises BuildRefused when
        there is none."""
        for entry in self._entries:
            if entry.name == DOCKERFILE and not entry.is_folder:
                with _opened(entry) as (descriptor, _):
                    return os.read(descriptor, most_bytes + 1)
        raise BuildRefused(f"There is no file {DOCKERFILE}; put one at the root")

    def tar(self, dockerfile: bytes) -> Iterator[bytes]:
        """Raises BuildRefused when a file changes meanwhile."""
        yield _header(DOCKERFILE, len(dockerfile))
        yield dockerfile
        yield _padding(len(dockerfile))
        for entry in self._entries:
            if entry.name == DOCKERFILE:
                continue
            if entry.is_folder:
                yield _header(entry.name, 0, folder=True)
            else:
                yield from _file(entry)
        yield bytes(2 * tarfile.BLOCKSIZE)


@contextmanager
def _opened(entry: _Entry) -> Iterator[tuple[int, int]]:
    """The file's descriptor and mode."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(entry.path, flags)
    except OSError:
        raise _changed() from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _changed()
        yield descriptor, mode
    finally:
        os.close(descriptor)


def _walk(folder: Path) -> Iterator[_Entry]:
    left = [(str(folder), "")]
    while left:
        path, prefix = left.pop()
        with os.scandir(path) as found:
            for one in sorted(found, key=lambda one: one.name):
                entry = _entry(one, prefix)
                yield entry
                if entry.is_folder:
                    left.append((entry.path, f"{entry.name}/"))


def _entry(found: os.DirEntry[str], prefix: str) -> _Entry:
    status = found.stat(follow_symlinks=False)
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder and not stat.S_ISREG(status.st_mode):
        raise BuildRefused("There is a symbolic link or a special file; put in files and folders")
    size = 0 if is_folder else status.st_size
    return _Entry(found.path, f"{prefix}{found.name}", is_folder, size)


def _file(entry: _Entry) -> Iterator[bytes]:
    left = entry.size
    with _opened(entry) as (descriptor, mode):
        yield _header(entry.name, entry.size, executable=bool(mode & stat.S_IXUSR))
        while left:
            block = os.read(descriptor, min(BLOCK, left))
            if not block:
                raise _changed()
            left -= len(block)
            yield block
    yield _padding(entry.size)


def _header(name: str, size: int, *, folder: bool = False, executable: bool = False) -> bytes:
    """Times, owners and most rights are left out: they are those of this machine."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.type = tarfile.DIRTYPE if folder else tarfile.REGTYPE
    info.mode = 0o755 if folder or executable else 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _changed() -> BuildRefused:
    return BuildRefused("The build's files changed while they were read; try again")
