"""The contents of items: one file each, ``<folder>/<kind>/<uid>``.

A file is put in its place whole and on disk, and only then is its row written; so a crash leaves
at most a file without a row, which the next start removes. Contents never change, so a job's
results become one, and one becomes a job's input, by a hard link where the disk allows.

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Set
from pathlib import Path

from compute.staging import link_or_copy
from provider.registry.models import WITH_CONTENT, Kind

_PARTIAL = "partial"


class ContentFiles:
    """Raises OSError where the disk does not do as told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, known: Mapping[Kind, Set[str]]) -> list[str]:
        """Make the folders, remove what no row is about; tell what was removed."""
        removed: list[str] = []
        for name in (_PARTIAL, *(kind.value for kind in sorted(WITH_CONTENT))):
            (self._folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self._folder / _PARTIAL).iterdir():
            path.unlink()
        for kind in WITH_CONTENT:
            for path in (self._folder / kind.value).iterdir():
                if path.name not in known.get(kind, frozenset()):
                    path.unlink()
                    removed.append(f"{kind.value}/{path.name}")
        return removed

    def path(self, kind: Kind, uid: str) -> Path:
        """Where a content is, or would be."""
        return self._folder / kind.value / uid

    def add(self, source: Path, kind: Kind, uid: str) -> None:
        """Have ``source``, which is on disk, as a new content; it may go away then. Raises
        FileExistsError."""
        target = self.path(kind, uid)
        os.link(source, target, follow_symlinks=False)
        target.chmod(0o444)
        _flush(target.parent)

    def replace(self, source: Path, kind: Kind, uid: str) -> None:
        """The same for what a task made, of which an interrupted start may have left a part."""
        target = self.path(kind, uid)
        partial = self._folder / _PARTIAL / uuid.uuid4().hex
        try:
            link_or_copy(source, partial)
            partial.chmod(0o444)
            _flush(partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        _flush(target.parent)

    def remove(self, kind: Kind, uid: str) -> None:
        self.path(kind, uid).unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
