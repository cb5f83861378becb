"""What files are like, as their origins tell: for whoever asks, so within bounds.

Anybody may have files described, of any asset or of an address of his own. So few are asked
about at the same time, none for long, and a file is read for its checksum only up to a size,
and again only when its origin says that it changed, or cannot say.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from compute.errors import InputUnavailable
from compute.store.recent import Recent
from compute.supply import Download
from provider.assets.origins.base import Probe, SourceFile
from provider.errors import ProviderError

PROBE_S = 10.0
CHECKSUM_S = 60.0
MAX_CHECKSUM_BYTES = 64 << 20

_PROBES, _CHECKSUMS = 32, 4
"""How many files are described, and read for it, at the same time."""

_REMEMBERED = 4096
_TOO_SLOW = "The origin of this input took too long."


class FileUnavailable(ProviderError):
    """A file cannot be had from its origin, and trying again will not help."""


class OriginUnavailable(ProviderError):
    """A file's origin does not answer properly at the moment."""

    status = 503


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file as its origin describes it; ``probe`` is None when that cannot be had.
    ``checksum`` is SHA-256 in hexadecimal, empty when not asked for or not to be had."""

    type: str
    probe: Probe | None
    checksum: str = ""


class Describer:
    """Describes files. ``max_checksum_bytes`` is what may be read of one, ``probe_s`` and
    ``checksum_s`` how long it may take."""

    def __init__(
        self,
        *,
        max_checksum_bytes: int = MAX_CHECKSUM_BYTES,
        probe_s: float = PROBE_S,
        checksum_s: float = CHECKSUM_S,
    ) -> None:
        self._max_checksum_bytes = max_checksum_bytes
        self._probe_s = probe_s
        self._checksum_s = checksum_s
        self._probing = asyncio.Semaphore(_PROBES)
        self._reading = asyncio.Semaphore(_CHECKSUMS)
        self._digests: Recent[str, tuple[str, str]] = Recent(_REMEMBERED)

    async def describe(self, files: Sequence[SourceFile], *, checksum: bool) -> list[FileInfo]:
        """All files, in their order."""
        return await asyncio.gather(*(self._describe(file, checksum) for file in files))

    async def probe(self, file: SourceFile) -> Probe:
        """One file. Raises InputUnavailable."""
        async with self._probing:
            try:
                async with asyncio.timeout(self._probe_s):
                    return await file.probe()
            except TimeoutError:
                raise InputUnavailable(_TOO_SLOW, temporary=True) from None

    async def _describe(self, file: SourceFile, checksum: bool) -> FileInfo:
        try:
            probe = await self.probe(file)
        except InputUnavailable:
            return FileInfo(file.type, None)
        if not checksum or (probe.size or 0) > self._max_checksum_bytes:
            return FileInfo(file.type, probe)
        return FileInfo(file.type, probe, await self._checksum(file))

    async def _checksum(self, file: SourceFile) -> str:
        """Empty when the file is too large, or breaks off."""
        validator, known = self._digests.get(file.identity) or (None, "")
        try:
            async with (
                self._reading,
                asyncio.timeout(self._checksum_s),
                file.open(validator) as download,
            ):
                if download.unchanged:
                    return known
                digest = await _digest(download, self._max_checksum_bytes)
        except (InputUnavailable, TimeoutError):
            return ""
        if digest and download.validator is not None:
            self._digests.put(file.identity, (download.validator, digest))
        return digest


async def _digest(download: Download, most: int) -> str:
    """SHA-256 of what is read; empty beyond ``most`` bytes."""
    digest = hashlib.sha256()
    async for chunk in download.chunks:
        most -= len(chunk)
        if most < 0:
            return ""
        digest.update(chunk)
    return digest.hexdigest()


def unavailable(error: InputUnavailable) -> ProviderError:
    """What a consumer is told of a file that cannot be had."""
    return (OriginUnavailable if error.temporary else FileUnavailable)(error.public)
