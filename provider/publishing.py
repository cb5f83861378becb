"""What publishers ask of a provider: to seal their files and documents, and to open documents.

Whoever keeps an index of assets reads the sealed documents from the chain and has this
provider open them. The very same seal keeps the addresses of data, so what is opened goes
out only if it is the whole document of the data NFT it was asked for: a JSON object with
that asset's DID, of the SHA-256 that is known beforehand. Nothing else leaves here, least of
all a sealed list of files.

The checks go from cheap to dear, and the nonce is used up before the document goes out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass, field

from provider.assets import published
from provider.assets.encryption import decrypt, encrypt
from provider.auditing.asking import asking
from provider.auditing.trail import Trail
from provider.auth.caller import Callers, Claim
from provider.chain import events
from provider.chain.chains import ChainAccess, Chains
from provider.errors import NotAllowed, ProviderError, TransactionUnknown, UnsupportedChain
from provider.keys import ProviderKey

log = logging.getLogger(__name__)

SERVED_STATES = frozenset({0, 4, 5})
"""Of data NFTs: active, ordering disabled, unlisted. Their documents may be read."""

_CLOSED = {1: "Asset end of life", 2: "Asset deprecated", 3: "Asset revoked"}
_BAD_TRANSACTION = "Failed to process transaction id."


@dataclass(frozen=True, slots=True)
class Published:
    """A document as it was published: its bytes under ``flags``, and the hash of the document
    as hexadecimal text."""

    data: bytes = field(repr=False)
    flags: int
    document_hash: str


@dataclass(frozen=True, slots=True)
class OpenCall:
    """Which document. ``tx`` names the event that published it, empty when ``given`` is the
    document itself. ``nft`` is the data NFT's address in any case."""

    claim: Claim
    chain_id: int
    nft: str
    tx: str = ""
    given: Published | None = None


class Publishing:
    """Seals and opens. ``decrypters`` are the wallets (lower-case) that may have documents
    opened; none means all."""

    def __init__(
        self,
        *,
        key: ProviderKey,
        chains: Chains,
        callers: Callers,
        decrypters: Collection[str] = (),
        trail: Trail | None = None,
    ) -> None:
        self._trail = trail
        self._key = key
        self._chains = chains
        self._callers = callers
        self._decrypters = frozenset(decrypters)

    async def seal(self, chain_id: str, content: bytes) -> str:
        """Bytes sealed to this provider's key, as ``0x`` text. Raises UnsupportedChain; where
        no chain is followed any ``chain_id`` will do."""
        if self._chains and chain_id not in {str(each) for each in self._chains}:
            raise UnsupportedChain(chain_id[:40])
        sealed = await asyncio.to_thread(encrypt, self._key.public_key, content)
        if self._trail is not None:
            self._trail.count("encrypt")
        return sealed

    async def open(self, call: OpenCall) -> bytes:
        """The document's bytes, exactly as they were published.

        Raises NotAllowed, SignatureError, UnsupportedChain, TransactionPending,
        AssetMalformed, ProviderError, ChainUnavailable.
        """
        caller = await self._callers.identify(call.claim)
        asking().about("decrypt", chain=call.chain_id, nft=call.nft)
        if self._decrypters and caller.address not in self._decrypters:
            raise NotAllowed("Decrypter not authorized")
        access = self._chains[call.chain_id]
        if not await access.contracts.is_from_factory(call.nft):
            raise ProviderError("Asset not deployed by the data NFT factory.")
        found = call.given or await _of_transaction(access, call)
        _require_served(await access.contracts.metadata_state(call.nft))
        document = await asyncio.to_thread(self._opened, call, found)
        await self._callers.spend(caller)
        log.info("document_opened nft=%s decrypter=%s", call.nft, caller.address)
        return document

    def _opened(self, call: OpenCall, found: Published) -> bytes:
        document = published.unseal(found.data, found.flags, self._open_blob)
        published.require_hash(document, found.document_hash)
        published.read_document(document, call.nft, call.chain_id)
        return document

    def _open_blob(self, blob: bytes) -> bytes:
        return decrypt(self._key, blob.hex())


async def _of_transaction(access: ChainAccess, call: OpenCall) -> Published:
    """What the data NFT itself published in the transaction: a first document before a
    changed one, as those who index assets expect."""
    try:
        receipt = await access.chain.receipt(call.tx)
    except TransactionUnknown:
        raise ProviderError(_BAD_TRANSACTION, field="transactionId") from None
    own = [log for log in receipt.logs if log.address == call.nft.lower()]
    found = [event for event in map(events.metadata, own) if event is not None]
    if not receipt.succeeded or not found:
        raise ProviderError(_BAD_TRANSACTION, field="transactionId")
    event = min(found, key=lambda each: not each.created)
    return Published(event.data, published.flags_of(event.flags), event.metadata_hash)


def _require_served(state: int | None) -> None:
    if state in _CLOSED:
        raise NotAllowed(_CLOSED[state])
    if state not in SERVED_STATES:
        raise ProviderError("Invalid MetadataState")
