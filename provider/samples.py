"""The use case around samples: what a data owner shows of a dataset for trying algorithms on.

A sample lies beside the rules of a compute service, as file objects that nobody has sealed:
publishing it is its owner's choice, so it is for everybody, without a signature, also where
only some wallets may compute on the data itself. What is asked of strangers is size: a sample
is read through the same guarded origins as the data, and no more than ``MAX_SAMPLE_BYTES`` of a
file goes out. No address of a file is ever told.

Beside it stands what a job on the dataset is bound to (who may run what, whether with a network,
what may leave), so that a job can be tried under the same rules.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from compute.errors import InputUnavailable
from provider.assets.catalogue import Catalogue
from provider.assets.credentials import USABLE_STATES, is_restricted
from provider.assets.ddo import Ddo, Service
from provider.assets.origins.base import Part, SourceFile
from provider.assets.supplier import AssetSupplier
from provider.auditing.trail import Trail
from provider.describing import Describer, FileInfo, unavailable
from provider.errors import NotAllowed, ProviderError
from provider.turns import Gone, waits

log = logging.getLogger(__name__)

MAX_SAMPLE_BYTES = 64 << 20
MAX_SAMPLE_FILES = 100
AT_ONCE = 8
"""How many files of samples are handed out at the same time."""
EACH = 2
"""How many of them to one asker: who takes them slowly must not keep them from others."""

OCTETS = "application/octet-stream"
NO_SAMPLE = "The data owner has published no sample for this service."
TOO_LARGE = "This file is too large for a sample."
TOO_MANY = "Too many samples are being handed out at the moment; try again."


class TooManySamples(ProviderError):
    """Later it may work."""

    status = 429


@dataclass(frozen=True, slots=True)
class Sample:
    """What is told of a service: its sample's files, and what binds a job on its data."""

    ddo: Ddo
    service: Service
    files: Sequence[FileInfo]


class Samples:
    """Describes samples and hands them out."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        supplier: AssetSupplier,
        trail: Trail,
        max_bytes: int = MAX_SAMPLE_BYTES,
    ) -> None:
        self._catalogue = catalogue
        self._supplier = supplier
        self._trail = trail
        self._max_bytes = max_bytes
        self._describer = Describer()
        self._handing_out: Counter[str] = Counter()

    async def describe(self, did: str, service_id: str, gone: Gone = waits) -> Sample:
        """The sample of a service; one without files where there is none. Raises UnknownAsset,
        ProviderError, NotAllowed, OriginUnavailable."""
        ddo, service = await self._service(did, service_id)
        files = await self._files(ddo, service)
        if not files and ddo.is_local and is_restricted(ddo, service):
            raise NotAllowed("This asset is not described to everybody.")
        return Sample(
            ddo, service, await self._describer.describe(files, checksum=False, gone=gone)
        )

    @asynccontextmanager
    async def open(
        self,
        did: str,
        service_id: str,
        index: int,
        *,
        range_: str | None = None,
        if_range: str | None = None,
        look_only: bool = False,
        asker: str = "",
    ) -> AsyncIterator[Part]:
        """One file of a sample. ``range_`` and ``if_range`` are request headers (RFC 9110).
        ``asker`` tells askers apart, empty for one that cannot be told from others.

        Raises UnknownAsset, ProviderError, TooManySamples, OriginUnavailable.
        """
        ddo, service = await self._service(did, service_id)
        files = await self._files(ddo, service)
        if not files:
            raise ProviderError(NO_SAMPLE)
        if index >= len(files):
            raise ProviderError(f"No such fileIndex {index}", field="fileIndex")
        with self._turn(asker):
            async with AsyncExitStack() as stack:
                part = await _opened(stack, files[index], range_, if_range)
                if part.size is not None and part.size > self._max_bytes:
                    raise ProviderError(TOO_LARGE)
                if not look_only:
                    self._trail.count("sample")
                    log.info("sample_served did=%s service=%s index=%s", did, service_id, index)
                bounded = _bounded(part.chunks, self._max_bytes)
                yield replace(part, content_type=OCTETS, chunks=bounded)

    @contextmanager
    def _turn(self, asker: str) -> Iterator[None]:
        """Raises TooManySamples."""
        mine = self._handing_out[asker] if asker else 0
        if mine >= EACH or self._handing_out.total() >= AT_ONCE:
            raise TooManySamples(TOO_MANY)
        self._handing_out[asker] += 1
        try:
            yield
        finally:
            self._handing_out[asker] -= 1
            self._handing_out = +self._handing_out

    async def _service(self, did: str, service_id: str) -> tuple[Ddo, Service]:
        ddo = await self._catalogue.resolve(did)
        service = ddo.service(service_id)
        if service is None:
            raise ProviderError("Invalid serviceId.", field="serviceId")
        if ddo.metadata is None or ddo.nft.state not in USABLE_STATES:
            raise ProviderError("Asset malformed or disabled.")
        if not service.is_compute:
            raise ProviderError("Samples are of services of type compute.", field="serviceId")
        return ddo, service

    async def _files(self, ddo: Ddo, service: Service) -> Sequence[SourceFile]:
        try:
            files = await asyncio.to_thread(self._supplier.sample_files, ddo, service)
        except InputUnavailable as error:
            raise unavailable(error) from None
        if len(files) > MAX_SAMPLE_FILES:
            raise ProviderError(f"A sample has {MAX_SAMPLE_FILES} files at most.")
        return files


def terms(service: Service) -> dict[str, Any]:
    """What binds a job on a service's data: the names of the asset's document. Of the reviewers
    nothing is told. Pure."""
    rules = service.compute
    return {
        "allowRawAlgorithm": rules.allow_raw_algorithm,
        "allowNetworkAccess": rules.allow_network_access,
        "egress": rules.egress.shown if rules.egress else None,
    }


async def _opened(
    stack: AsyncExitStack, file: SourceFile, range_: str | None, if_range: str | None
) -> Part:
    try:
        return await stack.enter_async_context(file.part(range_, if_range=if_range))
    except InputUnavailable as error:
        raise unavailable(error) from None


async def _bounded(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """An origin that does not tell a size is cut off where it is too much."""
    async for chunk in chunks:
        most -= len(chunk)
        if most < 0:
            raise InputUnavailable(TOO_LARGE)
        yield chunk
