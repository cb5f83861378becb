"""A folder for what a process has in the making, which is nobody else's.

What a crash leaves there has to go, but what another living process has there must not. So
each process has a folder with a name of its own, and a lock beside it that the kernel takes
back when the process ends, however it ends: a folder whose lock is free is nobody's any more.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "of-"
_LOCK = ".lock"


@contextmanager
def own_folder(parent: Path, *, shared: bool) -> Iterator[Path]:
    """A folder below ``parent`` that is this process's own while this is open; ``parent``
    itself where no other process works there. Folders of processes that have ended are
    removed. Blocking. Raises OSError."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not shared:
        _sweep(parent)
        yield parent
        return
    folder = parent / f"{_PREFIX}{secrets.token_hex(8)}"
    with _locked(parent / _LOCK):
        # Nobody sweeps meanwhile, or he would find the folder before its lock is taken.
        _sweep(parent)
        lock = os.open(_lock_of(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _lock_of(folder).unlink(missing_ok=True)
        os.close(lock)


def _sweep(parent: Path) -> None:
    for lock in parent.glob(f"{_PREFIX}*{_LOCK}"):
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(lock.with_name(lock.name.removesuffix(_LOCK)), ignore_errors=True)
            lock.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK)
