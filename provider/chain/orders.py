"""Orders as a chain has them: the facts by asking, the judgement by the pure rules."""

from __future__ import annotations

import re

from provider.auth.signatures import is_address
from provider.chain.chains import ChainAccess
from provider.chain.models import Receipt
from provider.chain.order_rules import (
    ORIGINAL_FAILED,
    Order,
    OrderTerms,
    judge,
    renewed_order,
)
from provider.errors import OrderRefused, TransactionUnknown

_TRANSACTION = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


async def verify(
    access: ChainAccess, terms: OrderTerms, nft: str, *, patient: bool = True
) -> Order:
    """The order in the transaction ``terms.tx``, for a service of the asset with this NFT.

    A missing receipt is waited for a little if ``patient``.

    Raises OrderRefused, TransactionUnknown, TransactionPending, ChainUnavailable.
    """
    if not _TRANSACTION.fullmatch(terms.tx):
        raise OrderRefused("The order is not a transaction id: 0x and 64 hexadecimal digits.")
    await require_genuine(access, terms.datatoken, nft)
    receipt = await access.chain.receipt(terms.tx, patient=patient)
    earlier = renewed_order(terms, receipt)
    original = None if earlier is None else await _original(access, earlier, patient)
    return judge(terms, receipt, original)


async def require_genuine(access: ChainAccess, datatoken: str, nft: str) -> None:
    """Raise OrderRefused unless the configured factory made the NFT, and the NFT the
    datatoken: only then is the datatoken's code known, and what its events say true."""
    if not is_address(nft) or not await access.contracts.is_from_factory(nft):
        raise OrderRefused(f"The asset's NFT {_shown(nft)} is not from this chain's factory.")
    if not is_address(datatoken) or not await access.contracts.has_datatoken(nft, datatoken):
        raise OrderRefused(f"The datatoken {_shown(datatoken)} is not deployed by NFT {nft}.")


async def _original(access: ChainAccess, tx: str, patient: bool) -> Receipt:
    try:
        return await access.chain.receipt(tx, patient=patient)
    except TransactionUnknown:
        raise OrderRefused(ORIGINAL_FAILED) from None


def _shown(address: str) -> str:
    return address if is_address(address) else "(no address)"
