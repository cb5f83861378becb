"""Turning what an algorithm left behind into results.

The outputs come from hostile code: links, pipes, devices, sparse giants, deep nests and
names that are no text or have no end. Only regular files are taken, never through a link,
and never more bytes or files than the environment gives, whatever their apparent size. On
disk a result is named by its index, so no name chosen by an algorithm is ever a path of ours.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compute.errors import PublishingFailed
from compute.models import ResultFile

MAX_NAME = 1024
"""Characters of one result's name, folders included."""
MAX_NAMES_BYTES = 1 << 20
"""Of all names of a job, which each answer about it repeats."""
_COPY_BYTES = 1 << 20
_FLUSHED_SINGLY = 32
_MAX_DEPTH = 32
_PATH_MAX = 4096

ResultType = Literal["output", "algorithmLog", "filteringLog"]


@dataclass(frozen=True, slots=True)
class Source:
    """A folder to collect from, and what its files are.

    ``budgeted`` unless what lies there was bounded when it was written. ``most_bytes`` of each
    file are taken, its beginning; None for all.
    """

    folder: Path
    type: ResultType
    budgeted: bool = True
    most_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """What was published; ``over_quota`` when something did not fit. ``unbudgeted`` are the
    indexes of what came from sources that are not."""

    files: tuple[ResultFile, ...]
    over_quota: bool
    unbudgeted: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Budget:
    bytes_left: int
    files_left: int
    names_left: int = MAX_NAMES_BYTES

    def takes(self, name: str, size: int) -> bool:
        named = len(name.encode())
        if size > self.bytes_left or self.files_left < 1:
            return False
        if len(name) > MAX_NAME or named > self.names_left:
            return False
        self.names_left -= named
        self.bytes_left -= size
        self.files_left -= 1
        return True


def gather(
    sources: Sequence[Source],
    target: Path,
    *,
    max_bytes: int,
    max_files: int,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Collected:
    """Copy all regular files of the sources beside ``target``, numbered and hashed; they take
    its place with :func:`put`.

    Replaces what an interrupted call left there. ``max_bytes`` and ``max_files`` bound what
    is budgeted. ``may_go_on`` is asked before each file: a process that stood still may have
    lost the job. Blocking: call it in a thread. Raises PublishingFailed.
    """
    partial = partial_of(target)
    _require(may_go_on)
    shutil.rmtree(partial, ignore_errors=True)
    with _storing(partial, may_go_on):
        partial.mkdir(parents=True)
        return _collect(sources, partial, _Budget(max_bytes, max_files), may_go_on)


def put(target: Path, *, may_go_on: Callable[[], bool] = lambda: True) -> None:
    """Have what was gathered beside ``target`` on disk and in its place. Blocking. Raises
    PublishingFailed."""
    partial = partial_of(target)
    with _storing(partial, may_go_on):
        make_durable(partial)
        _require(may_go_on)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)


def partial_of(target: Path) -> Path:
    """Where files are gathered before they become ``target``."""
    return target.with_name(target.name + ".partial")


@contextmanager
def _storing(partial: Path, may_go_on: Callable[[], bool]) -> Iterator[None]:
    """A fault of the disk leaves nothing half-made."""
    try:
        yield
    except OSError as error:
        if may_go_on():
            shutil.rmtree(partial, ignore_errors=True)
        raise PublishingFailed(f"results could not be stored: {error.strerror}") from error


def _require(may_go_on: Callable[[], bool]) -> None:
    if not may_go_on():
        raise PublishingFailed("results were not stored: the job is another process's by now")


def make_durable(folder: Path) -> None:
    """Have all files of the folder on disk. Each flush costs milliseconds, so many files
    are flushed with one call for the whole machine."""
    paths = [*folder.iterdir(), folder]
    if len(paths) > _FLUSHED_SINGLY:
        os.sync()
        return
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def path_of(results: Path, file: ResultFile) -> Path:
    """Where a published file lies."""
    return results / str(file.index)


def _collect(
    sources: Sequence[Source], target: Path, budget: _Budget, may_go_on: Callable[[], bool]
) -> Collected:
    files: list[ResultFile] = []
    unbudgeted: set[int] = set()
    over = False
    for source in sources:
        found, complete = _regular_files(source.folder)
        over |= not complete
        for path, name, size in found:
            if source.budgeted and not budget.takes(name, size):
                over = True
                continue
            _require(may_go_on)
            published = _copy(path, name, target, len(files), source)
            if published:
                files.append(published)
                unbudgeted |= set() if source.budgeted else {published.index}
    return Collected(tuple(files), over, frozenset(unbudgeted))


def _regular_files(folder: Path) -> tuple[list[tuple[str, str, int]], bool]:
    """(path, name shown, apparent size) of each regular file below, sorted by name.

    And whether these are all: false when something lies deeper than we go.
    """
    found: list[tuple[str, str, int]] = []
    complete = True
    stack = [] if folder.is_symlink() else [(str(folder), "", 0)]
    while stack:
        here, prefix, depth = stack.pop()
        for entry in _entries(here):
            name = prefix + _as_text(entry.name)
            if depth > _MAX_DEPTH or len(os.fsencode(entry.path)) >= _PATH_MAX:
                complete = False
            elif entry.is_dir(follow_symlinks=False):
                stack.append((entry.path, name + "/", depth + 1))
            elif entry.is_file(follow_symlinks=False):
                found.append((entry.path, name, entry.stat(follow_symlinks=False).st_size))
    return sorted(found, key=lambda item: (item[1], item[0])), complete


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """A folder's entries; none for one that the algorithm made unreadable."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (PermissionError, FileNotFoundError):
        return []


def _as_text(name: str) -> str:
    """A file name as printable text: bytes that are no UTF-8 and control characters go."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _copy(path: str, name: str, target: Path, index: int, kind: Source) -> ResultFile | None:
    """Copy one file and hash it on the way; None if it is not to be read after all."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as source:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        digest, size = hashlib.sha256(), 0
        with (target / str(index)).open("xb") as out:
            left = sys.maxsize if kind.most_bytes is None else kind.most_bytes
            while chunk := source.read(min(_COPY_BYTES, left - size)):
                digest.update(chunk)
                out.write(chunk)
                size += len(chunk)
    return ResultFile(index, name, size, digest.hexdigest(), kind.type)
