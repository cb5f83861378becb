"""The contents of items: one file each, ``<folder>/<kind>/<uid>``, and for what a task made
``<folder>/<kind>/<uid>-<sha256>``: several processes may make the same thing of its results, or
nearly the same, and none may change the file of the one that was first to write its row.

A file is put in its place whole and on disk, and only then is its row written; so a crash leaves
at most a file without a row, which the next start removes. Contents never change, so a job's
results become one, and one becomes a job's input, by a hard link where the disk allows.

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Set
from pathlib import Path

from compute.staging import link_or_copy
from provider.registry.models import WITH_CONTENT, Item, Kind

_PARTIAL = "partial"


class ContentFiles:
    """Raises OSError where the disk does not do as told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, known: Mapping[Kind, Set[str]], *, old_s: float = 0.0) -> list[str]:
        """Make the folders, remove what no row is about and nobody has touched for so many
        seconds; tell what was removed. ``known`` are names of files."""
        removed: list[str] = []
        before = time.time() - old_s
        for name in (_PARTIAL, *(kind.value for kind in sorted(WITH_CONTENT))):
            (self._folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self._folder / _PARTIAL).iterdir():
            if _is_older(path, before):
                path.unlink(missing_ok=True)
        for kind in WITH_CONTENT:
            for path in (self._folder / kind.value).iterdir():
                if path.name not in known.get(kind, frozenset()) and _is_older(path, before):
                    path.unlink(missing_ok=True)
                    removed.append(f"{kind.value}/{path.name}")
        return removed

    def path(self, item: Item) -> Path:
        """Where the content of an item is, or would be."""
        folder = self._folder / item.kind.value
        made = folder / content_name(item)
        # What tasks made used to be named as what was handed in.
        return made if made.exists() else folder / item.uid

    def add(self, source: Path, kind: Kind, uid: str) -> None:
        """Have ``source``, which is on disk, as a new content; it may go away then. Raises
        FileExistsError."""
        target = self._folder / kind.value / uid
        os.link(source, target, follow_symlinks=False)
        target.chmod(0o444)
        _flush(target.parent)

    def replace(self, source: Path, item: Item) -> None:
        """The same for what a task made, ``item.content`` being what ``source`` has: another
        process, or an interrupted start, may have put it there already."""
        target = self._folder / item.kind.value / content_name(item)
        partial = self._folder / _PARTIAL / uuid.uuid4().hex
        try:
            link_or_copy(source, partial)
            partial.chmod(0o444)
            _flush(partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        _flush(target.parent)

    def remove(self, item: Item) -> None:
        self.path(item).unlink(missing_ok=True)


def content_name(item: Item) -> str:
    """The file of an item with a content."""
    if item.task_uid and item.content is not None:
        return f"{item.uid}-{item.content.sha256}"
    return item.uid


def _is_older(path: Path, before: float) -> bool:
    """By the time that nobody can set: a link to an old file is new."""
    try:
        return path.stat().st_ctime <= before
    except FileNotFoundError:
        return False


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
