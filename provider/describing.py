"""What files are like, as their origins tell: for whoever asks, so within bounds.

Anybody may have files described, of any asset or of an address of his own. So few are asked
about at the same time, of one request and of one origin fewer still, none for long, and not
once who asked has gone. Who comes when too many wait is told so. A file is read for its
checksum only up to a size, and again only when its origin says that it changed, or cannot
say. What consumers are about to order is asked about apart from all that.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from compute.errors import InputUnavailable
from compute.store.recent import Recent
from compute.supply import Download
from provider.assets.origins.base import CONTRACTS, GATEWAYS, Probe, SourceFile
from provider.errors import ProviderError
from provider.turns import Crowd, Crowded, Gone, Turns, waits, within

PROBE_S = 10.0
REQUEST_S = 55.0
"""How long a request for files may take in all, waiting for its turn included."""
TURN_S = 10.0
"""How long the one file that a consumer is about to order may wait for its turn."""
CHECKSUM_S = 60.0
MAX_CHECKSUM_BYTES = 64 << 20

_PROBES, _CHECKSUMS = 32, 4
"""How many files are described, and read for it, at the same time."""

_OF_REQUEST = 8
_OF_HOST = 8
_READ_OF_HOST = 2
_SHARES = {CONTRACTS: 2, GATEWAYS: 16}
"""Of these, how many of one request and of one origin."""

_REQUESTS = 256
"""How many may ask at the same time."""

_REMEMBERED = 4096
_TOO_SLOW = "The origin of this input took too long."
_CROWDED = "Too many files are being asked about at the moment; try again."
_UNFINISHED = "The origins of these files take too long at the moment; try again."


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
    ``checksum_s`` how long one may take, ``request_s`` all that are asked for together."""

    def __init__(
        self,
        *,
        max_checksum_bytes: int = MAX_CHECKSUM_BYTES,
        probe_s: float = PROBE_S,
        checksum_s: float = CHECKSUM_S,
        request_s: float = REQUEST_S,
    ) -> None:
        self._max_checksum_bytes = max_checksum_bytes
        self._probe_s = probe_s
        self._checksum_s = checksum_s
        self._request_s = request_s
        self._probing = Turns(_PROBES, _OF_HOST, _SHARES)
        self._reading = Turns(_CHECKSUMS, _READ_OF_HOST)
        self._ordering = Turns(_PROBES, _OF_HOST, _SHARES)
        self._asking, self._about_to_order = Crowd(_REQUESTS), Crowd(_REQUESTS)
        self._digests: Recent[str, tuple[str, str]] = Recent(_REMEMBERED)

    async def describe(
        self, files: Sequence[SourceFile], *, checksum: bool, gone: Gone = waits
    ) -> list[FileInfo]:
        """All files, in their order. ``gone`` tells when nobody wants to know any more.

        Raises OriginUnavailable when too many ask, or when not all were had in time.
        """
        found: dict[int, FileInfo] = {}
        own = asyncio.Semaphore(_OF_REQUEST)

        async def describe(index: int, file: SourceFile) -> None:
            async with own:
                found[index] = info = await self._describe(file)
                if checksum and info.probe:
                    found[index] = await self._with_checksum(file, info, info.probe.size or 0)

        with _admitted(self._asking):
            try:
                async with within(self._request_s, gone), asyncio.TaskGroup() as group:
                    for each in enumerate(files):
                        group.create_task(describe(*each))
            except TimeoutError:
                if len(found) < len(files):
                    raise OriginUnavailable(_UNFINISHED) from None
        return [found[index] for index in range(len(files))]

    async def probe(self, file: SourceFile, *, gone: Gone = waits) -> Probe:
        """The one file of an order to be. Raises InputUnavailable, OriginUnavailable."""
        with _admitted(self._about_to_order):
            try:
                async with within(self._probe_s + TURN_S, gone):
                    return await self._probe(file, self._ordering)
            except TimeoutError:
                raise InputUnavailable(_TOO_SLOW, temporary=True) from None

    async def _probe(self, file: SourceFile, turns: Turns) -> Probe:
        async with turns.turn(file.origin):
            try:
                async with asyncio.timeout(self._probe_s):
                    return await file.probe()
            except TimeoutError:
                raise InputUnavailable(_TOO_SLOW, temporary=True) from None

    async def _describe(self, file: SourceFile) -> FileInfo:
        try:
            return FileInfo(file.type, await self._probe(file, self._probing))
        except InputUnavailable:
            return FileInfo(file.type, None)

    async def _with_checksum(self, file: SourceFile, info: FileInfo, size: int) -> FileInfo:
        if size > self._max_checksum_bytes:
            return info
        return replace(info, checksum=await self._checksum(file))

    async def _checksum(self, file: SourceFile) -> str:
        """Empty when the file is too large, or breaks off."""
        validator, known = self._digests.get(file.identity) or (None, "")
        try:
            async with (
                self._reading.turn(file.origin),
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


@contextmanager
def _admitted(crowd: Crowd) -> Iterator[None]:
    """A request that may ask. Raises OriginUnavailable."""
    try:
        with crowd.enter():
            yield
    except Crowded:
        raise OriginUnavailable(_CROWDED) from None


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
