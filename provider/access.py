"""The use cases around access: describe files, quote an order, hand out a file.

What is asked of a consumer goes from cheap to dear: signature, document, wallet lists and
states, the file's place, the order on chain, and at last the file's origin. Its answer is
at hand before the nonce is used up, so a dead origin costs nobody a nonce; and the nonce is
used up before the first byte goes out, so one signature fetches one file once.

Assets that are not sold (see :meth:`provider.payments.Payments.needs_order`) are given to
whom their lists allow, whatever order is named.

Services of type ``compute`` give their files to nobody but the compute providers that the
operator lists: algorithms come to the data, the data does not leave.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from compute.errors import InputUnavailable
from provider.assets import parameters
from provider.assets.catalogue import Catalogue
from provider.assets.credentials import is_restricted, why_denied
from provider.assets.ddo import Ddo, Service
from provider.assets.encryption import CANNOT_OPEN
from provider.assets.origins.base import Part, SourceFile
from provider.assets.supplier import AssetSupplier
from provider.auditing import records
from provider.auditing.asking import asking
from provider.auth.caller import Caller, Callers, Claim
from provider.describing import (
    MAX_CHECKSUM_BYTES,
    Describer,
    FileInfo,
    FileUnavailable,
    OriginUnavailable,
    unavailable,
)
from provider.errors import (
    BadParameter,
    InvalidRequest,
    NotAllowed,
    OrderRefused,
    ProviderError,
    TransactionPending,
    TransactionUnknown,
)
from provider.payments import ItemQuote, PaidItem, Payments
from provider.turns import Gone, waits

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of a service as a consumer names it. ``order`` is the transaction that paid;
    ``file_index`` is None where no single file is meant."""

    did: str
    service_id: str
    consumer: str
    order: str = ""
    file_index: int | None = None
    userdata: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AccessQuote:
    """What an order needs, and the consumer's last nonce."""

    item: ItemQuote
    nonce: int


class Access:
    """``compute_downloaders`` are wallets (lower-case) of compute providers that get the
    files of compute services; ``max_checksum_bytes`` bounds what is read for a checksum."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        supplier: AssetSupplier,
        payments: Payments,
        callers: Callers,
        compute_downloaders: Collection[str] = (),
        max_checksum_bytes: int = MAX_CHECKSUM_BYTES,
    ) -> None:
        self._catalogue = catalogue
        self._supplier = supplier
        self._payments = payments
        self._callers = callers
        self._downloaders = frozenset(compute_downloaders)
        self._describer = Describer(max_checksum_bytes=max_checksum_bytes)

    async def find(self, did: str) -> Ddo:
        """The asset. Raises UnknownAsset, AssetMalformed, AssetsUnavailable."""
        return await self._catalogue.resolve(did)

    async def identify(self, claim: Claim) -> Caller:
        """Who asks. Raises SignatureError, NonceInvalid."""
        return await self._callers.identify(claim)

    async def describe(
        self, ddo: Ddo, service_id: str, userdata: Any, checksum: bool, gone: Gone = waits
    ) -> Sequence[FileInfo]:
        """The files of a service, for anybody: a question without a signature.

        Nothing is told of a private asset of the operator's own folder. ``gone`` tells when
        nobody waits for the answer any more. Raises ProviderError, NotAllowed,
        OriginUnavailable.
        """
        service = _service(ddo, service_id)
        if ddo.is_local and is_restricted(ddo, service):
            raise NotAllowed("The files of this asset are not described to everybody.")
        values = _userdata(service, userdata, insist=False)
        try:
            files = await self._supplier.source_files(ddo, service, values)
        except InputUnavailable as error:
            if error.public == CANNOT_OPEN:
                raise ProviderError("Unable to get dataset files") from None
            raise unavailable(error) from None
        return await self._describer.describe(files, checksum=checksum, gone=gone)

    async def describe_raw(
        self, raw: Mapping[str, Any], userdata: Any, checksum: bool, gone: Gone = waits
    ) -> Sequence[FileInfo]:
        """A file that the asker names, never one of this machine. Raises FileObjectInvalid,
        OriginUnavailable."""
        values = parameters.userdata([], userdata)
        file = self._supplier.stranger_file(raw, values)
        return await self._describer.describe([file], checksum=checksum, gone=gone)

    async def quote(self, ddo: Ddo, wanted: Wanted, gone: Gone = waits) -> AccessQuote:
        """What the consumer has to order. Nothing is quoted that could not be delivered.

        Raises ProviderError, OriginUnavailable, ChainUnavailable.
        """
        service = self._usable(ddo, wanted)
        if not self._gives(service, wanted.consumer):
            raise ProviderError(
                "Use the initializeCompute endpoint to initialize compute jobs."
                if service.is_compute
                else "Invalid serviceId."
            )
        files = await self._files(ddo, service, wanted, insist=wanted.file_index is not None)
        if wanted.file_index is not None:
            await self._require_valid(_nth(files, wanted.file_index), wanted, gone)
        item = PaidItem(ddo, service, wanted.order)
        quote = await self._payments.quote_access(item, wanted.consumer)
        return AccessQuote(quote, await self._callers.last_nonce(wanted.consumer))

    @asynccontextmanager
    async def open(
        self,
        caller: Caller,
        ddo: Ddo,
        wanted: Wanted,
        *,
        range_: str | None = None,
        if_range: str | None = None,
        look_only: bool = False,
    ) -> AsyncIterator[Part]:
        """A file for its consumer; the caller's nonce is used up on entering.

        ``look_only`` leaves it good for the download itself. ``range_`` and ``if_range`` are
        request headers (RFC 9110). Raises ProviderError, OriginUnavailable, ChainUnavailable,
        NonceTooLow.
        """
        asking().about(
            "download",
            dids=records.dids([ddo.id]),
            service=records.name(wanted.service_id),
            index=wanted.file_index or 0,
            order=records.transaction(wanted.order),
        )
        service = self._usable(ddo, wanted)
        if not self._gives(service, caller.address):
            raise ProviderError(f"Service with index={service.id} is not an access service.")
        files = await self._files(ddo, service, wanted, insist=True)
        file = _nth(files, wanted.file_index or 0)
        await self._require_paid(ddo, service, wanted)
        async with AsyncExitStack() as stack:
            part = await _opened(stack, file, range_, if_range)
            if look_only:
                await self._callers.bind(caller)
            else:
                await self._callers.spend(caller)
                _note(service, wanted)
            yield part

    def _usable(self, ddo: Ddo, wanted: Wanted) -> Service:
        """The service, if the document and its lists let this wallet use it."""
        denied = why_denied(ddo, wanted.consumer, ddo.service(wanted.service_id))
        if denied:
            raise ProviderError(denied)
        service = _service(ddo, wanted.service_id)
        if not ddo.data_nft and self._payments.needs_order(ddo, service):
            raise ProviderError("Asset malformed or disabled.")
        return service

    def _gives(self, service: Service, consumer: str) -> bool:
        """Whether files of this service are handed out to this wallet at all."""
        return service.is_access or (service.is_compute and consumer.lower() in self._downloaders)

    async def _files(
        self, ddo: Ddo, service: Service, wanted: Wanted, *, insist: bool
    ) -> Sequence[SourceFile]:
        values = _userdata(service, wanted.userdata, insist=insist)
        try:
            return await self._supplier.source_files(ddo, service, values)
        except InputUnavailable as error:
            raise unavailable(error) from None

    async def _require_paid(self, ddo: Ddo, service: Service, wanted: Wanted) -> None:
        if not self._payments.needs_order(ddo, service):
            return
        if not wanted.order:
            raise InvalidRequest({"transferTxId": ["The transferTxId field is required."]})
        with _named(wanted.order):
            item = PaidItem(ddo, service, wanted.order)
            await self._payments.check_access(item, wanted.consumer)

    async def _require_valid(self, file: SourceFile, wanted: Wanted, gone: Gone) -> None:
        try:
            await self._describer.probe(file, gone=gone)
        except InputUnavailable as error:
            raise (OriginUnavailable if error.temporary else FileUnavailable)(
                "Asset URL not found, not available or invalid. Payload was:"
                f" documentId {wanted.did}, serviceId {wanted.service_id},"
                f" fileIndex {wanted.file_index}"
            ) from None


async def _opened(
    stack: AsyncExitStack, file: SourceFile, range_: str | None, if_range: str | None
) -> Part:
    try:
        return await stack.enter_async_context(file.part(range_, if_range=if_range))
    except InputUnavailable as error:
        raise unavailable(error) from None


@contextmanager
def _named(order: str) -> Iterator[None]:
    """Say which order it is that does not count."""
    try:
        yield
    except (OrderRefused, TransactionUnknown, TransactionPending) as error:
        error.public = (
            f"Order with tx_id {order} could not be validated due to error: {error.public}"
        )
        raise


def _service(ddo: Ddo, service_id: str) -> Service:
    service = ddo.service(service_id)
    if service is None:
        raise ProviderError("Invalid serviceId.", field="serviceId")
    return service


def _nth(files: Sequence[SourceFile], index: int) -> SourceFile:
    if index >= len(files):
        raise ProviderError(f"No such fileIndex {index}", field="fileIndex")
    return files[index]


def _userdata(service: Service, given: Any, *, insist: bool) -> dict[str, Any]:
    """The service's parameters with defaults. Without ``insist`` a consumer who gives none
    at all is not told which ones are missing: he only looks."""
    try:
        return parameters.userdata(service.consumer_parameters, given)
    except BadParameter:
        if insist or given not in (None, ""):
            raise
        return {}


def _note(service: Service, wanted: Wanted) -> None:
    log.info(
        "file_served did=%s service=%s index=%s consumer=%s order=%s",
        wanted.did,
        service.id,
        wanted.file_index,
        wanted.consumer,
        wanted.order or "none",
    )
