"""The content-addressed cache of inputs.

A file is fetched once, hashed on the way in, and kept under its SHA-256; what is known of
an origin (digest, validator) lies beside it under the origin's identity, which reveals
nothing. A later job asks the origin whether the validator still holds and fetches only
if not. Jobs get hard links, so what is evicted here stays with the jobs that use it.

A file comes into being under a temporary name and is renamed when it is whole; a crash
leaves at most a temporary file, which the next start removes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import shutil
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute import tenure
from compute.digests import FileDigests
from compute.errors import InputUnavailable, VolumeFailed
from compute.intake import batches, intake
from compute.metrics import NOBODY, Recorder
from compute.supply import Download, InputFile

RESERVE_BYTES = 64 << 20
"""What is always left free on the disk: the database lies there too."""

ALGORITHM_BYTES = 64 << 20
"""The largest algorithm that a consumer may bring along."""

_LOOK_BYTES = 64 << 20

ABANDONED_S = 3600.0
"""What nobody has written to for so long, nobody will go on with."""

FRESH_S = 30.0
"""How long an origin that offers no validator is not asked again."""

_FETCHES = 2
"""What is evicted between the answer of its origin and its use is fetched once more."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Known:
    """What was learnt of an origin when it was last fetched."""

    sha256: str
    validator: str | None
    at: float


class InputCache:
    """Files by content, origins by identity, in one folder."""

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        clock: Callable[[], float] = time.time,
        recorder: Recorder = NOBODY,
    ) -> None:
        self._contents = folder / "contents"
        self._origins = folder / "origins"
        self._partial = folder / "partial"
        self.digests = FileDigests(folder / "digests")
        self._max_bytes = max_bytes
        self._clock = clock
        self._recorder = recorder
        self._locks: dict[str, asyncio.Lock] = {}
        self._holders: Counter[str] = Counter()

    def open(self, *, alone: bool = True) -> None:
        """Make the folders; remove what a crash left half-fetched, and what is known of
        origins whose content has been evicted. Not ``alone``, others may be fetching."""
        for folder in (self._contents, self._origins, self._partial):
            folder.mkdir(parents=True, exist_ok=True)
        self.digests.open()
        abandoned = time.time() - ABANDONED_S
        for partial in self._partial.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if alone or partial.stat().st_mtime < abandoned:
                    partial.unlink()
        for origin in self._origins.iterdir():
            if self._recall(origin.name) is None:
                origin.unlink(missing_ok=True)

    async def fetch(self, file: InputFile) -> Path:
        """The file's content as a path in the cache, read-only; its name is its SHA-256.
        Raises InputUnavailable, and VolumeFailed for a disk of the provider's own that cannot
        take it.

        Callers link or copy it at once: it may be evicted later.
        """
        async with self._sole(file.identity):
            for _ in range(_FETCHES):
                path, fetched = await self._current(file)
                with contextlib.suppress(FileNotFoundError):
                    os.utime(path)
                    self._recorder.input_taken(path.stat().st_size, fetched=fetched)
                    return path
        raise VolumeFailed("the provider's cache is too small for its jobs")

    @contextlib.asynccontextmanager
    async def _sole(self, identity: str) -> AsyncIterator[None]:
        """One fetch an origin at a time: the next finds the file there."""
        lock = self._locks.setdefault(identity, asyncio.Lock())
        self._holders[identity] += 1
        try:
            async with lock:
                yield
        finally:
            self._holders[identity] -= 1
            if not self._holders[identity]:
                del self._holders[identity], self._locks[identity]

    async def _current(self, file: InputFile) -> tuple[Path, bool]:
        """Where the content lies, and whether it had to be fetched."""
        promised = (file.sha256 or "").lower()
        if _DIGEST.fullmatch(promised) and self._path(promised).exists():
            return self._path(promised), False
        known = self._recall(file.identity)
        if known and known.validator is None and self._clock() - known.at < FRESH_S:
            return self._promised(file, known.sha256), False
        async with file.open(known.validator if known else None) as download:
            if download.unchanged and known:
                return self._promised(file, known.sha256), False
            digest = await self._keep(download)
            self._remember(file.identity, Known(digest, download.validator, self._clock()))
        return self._promised(file, digest), True

    def _promised(self, file: InputFile, digest: str) -> Path:
        if file.sha256 and digest != file.sha256.lower():
            raise InputUnavailable("the file's checksum is not the one that was promised")
        return self._path(digest)

    async def _keep(self, download: Download) -> str:
        """Stream into the cache; the digest of what came.

        An origin need not say how much it sends, so room is made and the disk is looked at
        again and again on the way.
        """
        self._make_room(download.size or 0)
        partial = self._partial / uuid.uuid4().hex
        written, looked_at = 0, 0
        try:
            async with intake(partial) as into:
                async for batch in batches(download.chunks):
                    await into.take(batch)
                    written += sum(map(len, batch))
                    if written - looked_at >= _LOOK_BYTES:
                        self._make_room(written, already=written)
                        looked_at = written
                digest = await into.finish()
            self._make_room(written, already=written)
            partial.rename(self._path(digest))
        except OSError as error:
            raise _disk_fault(error) from error
        finally:
            partial.unlink(missing_ok=True)
        return digest

    def _make_room(self, size: int, already: int = 0) -> None:
        """Evict the least recently used contents until ``size`` more fits the budget.

        ``already`` of them are on the disk; the rest, and a reserve, must still fit there.
        """
        held = sorted(_stats(self._contents), key=lambda pair: pair[0].st_mtime)
        total = sum(stat.st_size for stat, _ in held)
        for stat, entry in held:
            if total + size <= self._max_bytes:
                break
            entry.unlink(missing_ok=True)
            total -= stat.st_size
        if size - already + RESERVE_BYTES > shutil.disk_usage(self._contents).free:
            raise VolumeFailed("the provider has no disk space for the file")

    def _path(self, digest: str) -> Path:
        return self._contents / digest

    def _recall(self, identity: str) -> Known | None:
        try:
            stored: Any = json.loads((self._origins / identity).read_text())
            known = Known(stored["sha256"], stored["validator"], stored["at"])
            usable = _DIGEST.fullmatch(known.sha256) and self._path(known.sha256).exists()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return known if usable else None

    def _remember(self, identity: str, known: Known) -> None:
        stored = {"sha256": known.sha256, "validator": known.validator, "at": known.at}
        partial = self._partial / uuid.uuid4().hex
        try:
            partial.write_text(json.dumps(stored))
            partial.rename(self._origins / identity)
        except OSError as error:
            raise _disk_fault(error) from error
        finally:
            partial.unlink(missing_ok=True)


def _stats(folder: Path) -> Iterator[tuple[os.stat_result, Path]]:
    """The folder's entries, but for those that another process evicts meanwhile."""
    for entry in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield entry.stat(), entry


async def pour(file: InputFile, target: Path) -> None:
    """Fetch a consumer's own file to ``target`` past the cache. Raises InputUnavailable,
    VolumeFailed."""
    written = 0
    try:
        async with file.open(None) as download:
            tenure.require()
            with target.open("wb") as out:
                async for batch in batches(download.chunks):
                    written += sum(map(len, batch))
                    if written > ALGORITHM_BYTES:
                        limit = f"{ALGORITHM_BYTES >> 20} MiB"
                        raise InputUnavailable(f"the algorithm is larger than {limit}")
                    await asyncio.to_thread(out.writelines, batch)
    except OSError as error:
        raise _disk_fault(error) from error


def _disk_fault(error: OSError) -> VolumeFailed:
    """It is the provider's own fault, whatever file met it."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    text = "the provider's disk is full" if full else "the provider could not store the file"
    return VolumeFailed(text)
