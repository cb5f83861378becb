"""Where assets are looked up, and the folder that serves where there is no chain.

A folder of documents is edited by people while the service runs, so it is watched by
stat: a changed, new or removed file counts from the next look-up. A file that is broken,
or a DID that two files claim, is refused rather than guessed, and said once in the log.
A folder that cannot be read says nothing about its assets: look-ups fail until it can.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from provider import bounded_json
from provider.assets.ddo import Ddo, is_did, is_sealed
from provider.assets.files import parse_files
from provider.errors import AssetMalformed, AssetsUnavailable, FileObjectInvalid, UnknownAsset

log = logging.getLogger(__name__)

UNSETTLED = (0, 0, 0)
SETTLED_AFTER_NS = 50_000_000
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
SHOWN_DID_CHARACTERS = 120
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})
"""Faults that say something about this machine and nothing about the file."""


class Catalogue(ABC):
    """Resolves DIDs. ``serves_local_files`` is true only where the operator of this
    machine writes the documents: then they may name files of this machine."""

    serves_local_files: bool = False

    @abstractmethod
    async def resolve(self, did: str) -> Ddo:
        """The asset with this DID. Raises UnknownAsset, also for a malformed DID, and
        AssetsUnavailable when it cannot be known."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one file held when it was last read: a document, or why not."""

    stamp: tuple[int, int, int]
    ddo: Ddo | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Index:
    """One look at the folder."""

    entries: dict[str, _Entry] = field(default_factory=dict)
    assets: dict[str, Ddo] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


class FolderCatalogue(Catalogue):
    """Every ``*.json`` directly in a folder is one document; file names mean nothing.

    The folder is looked at again when the last look is older than ``fresh_for_s``.
    """

    serves_local_files = True

    def __init__(
        self,
        folder: Path,
        *,
        fresh_for_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._fresh_for_s = fresh_for_s
        self._clock = clock
        self._looked_at: float | None = None
        self._index = _Index()
        self._trouble = ""
        self._looking = asyncio.Lock()

    async def resolve(self, did: str) -> Ddo:
        if not is_did(did):
            raise UnknownAsset(_showable(did))
        await self._look()
        ddo = self._index.assets.get(did)
        if ddo is None:
            raise UnknownAsset(_showable(did))
        return ddo

    def check(self) -> list[str]:
        """Read the folder now; each problem as a sentence that names the file."""
        try:
            self._take(_read_index(self._folder, self._index))
        except OSError as error:
            return [self._unreadable(error)]
        return list(self._index.problems)

    async def _look(self) -> None:
        async with self._looking:
            if self._looked_at is None or self._clock() - self._looked_at >= self._fresh_for_s:
                try:
                    index = await asyncio.to_thread(_read_index, self._folder, self._index)
                except OSError as error:
                    self._unreadable(error)
                    raise AssetsUnavailable from None
                self._take(index)

    def _unreadable(self, error: OSError) -> str:
        trouble = f"{self._folder}: cannot be read ({error.strerror})"
        if trouble != self._trouble:
            log.warning("assets_unavailable problem=%r", trouble)
        self._trouble = trouble
        return trouble

    def _take(self, index: _Index) -> None:
        for problem in index.problems:
            if problem not in self._index.problems:
                log.warning("asset document refused problem=%r", problem)
        self._index, self._trouble = index, ""
        self._looked_at = self._clock()


def _showable(did: object) -> str:
    text = str(did)[:SHOWN_DID_CHARACTERS]
    return text if text.isprintable() else ascii(text)


def _read_index(folder: Path, before: _Index) -> _Index:
    """Raises OSError when not everything there is could be looked at."""
    with os.scandir(folder) as listing:
        found = sorted((each for each in listing if _is_document(each)), key=lambda e: e.name)
    entries = {each.name: _read_entry(Path(each.path), before.entries) for each in found}
    return _joined(folder, entries)


def _is_document(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".json") and not entry.name.startswith(".")


def _joined(folder: Path, entries: dict[str, _Entry]) -> _Index:
    files: dict[str, list[str]] = {}
    for name, entry in entries.items():
        if entry.ddo is not None:
            files.setdefault(entry.ddo.id, []).append(name)
    problems = [
        f"{folder / name}: {problem}"
        for name, entry in entries.items()
        for problem in entry.problems
    ]
    problems += [
        f"{folder}: {did} is claimed by {' and '.join(names)}; none is served, keep one"
        for did, names in files.items()
        if len(names) > 1
    ]
    single = {
        entry.ddo.id: entry.ddo
        for entry in entries.values()
        if entry.ddo is not None and len(files[entry.ddo.id]) == 1
    }
    return _Index(entries, single, tuple(problems))


def _read_entry(path: Path, before: dict[str, _Entry]) -> _Entry:
    try:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = before.get(path.name)
        if known is not None and known.stamp == stamp:
            return known
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_DOCUMENT_BYTES:
            return _Entry(stamp, None, (f"is not a file of at most {MAX_DOCUMENT_BYTES} bytes",))
        entry = _parse_entry(stamp, path.read_bytes())
        return entry if _is_settled(status) else replace(entry, stamp=UNSETTLED)
    except OSError as error:
        if error.errno in _OURS:
            raise
        return _Entry(UNSETTLED, None, (f"cannot be read ({error.strerror})",))


def _is_settled(status: os.stat_result) -> bool:
    """False for a file that could change again within the resolution of its time stamp."""
    return time.time_ns() - status.st_mtime_ns > SETTLED_AFTER_NS


def _parse_entry(stamp: tuple[int, int, int], content: bytes) -> _Entry:
    try:
        raw = bounded_json.loads(content)
    except ValueError:
        return _Entry(stamp, None, ("is not valid JSON",))
    if not isinstance(raw, dict):
        return _Entry(stamp, None, ("is not a JSON object",))
    try:
        ddo = Ddo.parse(raw, local=True)
    except AssetMalformed as error:
        return _Entry(stamp, None, (error.public,))
    return _Entry(stamp, ddo, tuple(_file_problems(ddo)))


def _file_problems(ddo: Ddo) -> Iterator[str]:
    for service in ddo.services:
        if service.files in (None, "") or is_sealed(service.files):
            continue
        try:
            parse_files(service.files)
        except (AssetMalformed, FileObjectInvalid) as error:
            yield f"service {service.id}: {error.public}"
