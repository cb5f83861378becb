"""Orders looked up on a chain in memory: where they are, whose contracts, which state."""

from __future__ import annotations

import pytest
from order_samples import (
    ALGORITHM_NFT,
    DATATOKEN,
    FACTORY,
    HOUR,
    NFT,
    NOW,
    STRANGER,
    Shop,
    order_terms,
    paid_fee,
    quote,
    started,
)

from provider.chain import order_rules
from provider.chain.order_rules import Order
from provider.chain.orders import verify
from provider.errors import (
    ChainUnavailable,
    OrderRefused,
    TransactionPending,
    TransactionUnknown,
)

LOOK_ALIKE = "0x" + "1a" * 20
LOOK_ALIKE_NFT = "0x" + "1b" * 20


async def verified(shop: Shop, tx: str, *, nft: str = NFT, **terms: object) -> Order:
    return await verify(shop.access, order_terms(tx=tx, **terms), nft)


async def refusal(shop: Shop, tx: str, *, nft: str = NFT, **terms: object) -> str:
    with pytest.raises(OrderRefused) as caught:
        await verified(shop, tx, nft=nft, **terms)
    return caught.value.public


async def test_order(shop: Shop) -> None:
    tx = shop.order(quote())
    assert (await verified(shop, tx)).original_tx == tx


async def test_hash_in_capitals(shop: Shop) -> None:
    tx = shop.order(quote())
    assert (await verified(shop, "0x" + tx[2:].upper())).tx == tx


async def test_renewal_is_followed(shop: Shop) -> None:
    tx = shop.order(quote(valid_until=NOW - 1))
    assert await refusal(shop, tx) == order_rules.FEE_EXPIRED
    again = shop.renew(tx, quote())
    order = await verified(shop, again)
    assert (order.tx, order.original_tx) == (again, tx)


async def test_renewal_of_a_renewal_is_not(shop: Shop) -> None:
    first = shop.order(quote())
    again = shop.renew(shop.renew(first, quote()), quote())
    assert "Cannot find the event for the order" in await refusal(shop, again)


async def test_renewal_of_what_is_not_there(shop: Shop) -> None:
    tx = shop.renew("0x" + "99" * 32, quote())
    assert await refusal(shop, tx) == order_rules.ORIGINAL_FAILED


async def test_renewal_of_a_reverted_order(shop: Shop) -> None:
    tx = shop.renew(shop.order(quote(), succeeded=False), quote())
    assert await refusal(shop, tx) == order_rules.ORIGINAL_FAILED


@pytest.mark.parametrize(
    "tx",
    ["", "0x", "nonsense", "0x" + "7" * 63, "0x" + "7" * 65, "0x" + "g" * 64, "7" * 64,
     "0x" + "7" * 64 + "\n", "0x" + "\u0667" * 64],
)  # fmt: skip
async def test_no_transaction_id(shop: Shop, tx: str) -> None:
    assert "not a transaction id" in await refusal(shop, tx)
    assert not shop.chain.asked["receipt"]


async def test_unknown(shop: Shop) -> None:
    with pytest.raises(TransactionUnknown):
        await verified(shop, "0x" + "77" * 32)


async def test_pending(shop: Shop) -> None:
    tx = shop.order(quote(), mined=False)
    with pytest.raises(TransactionPending):
        await verified(shop, tx)
    shop.chain.mine()
    assert await verified(shop, tx)


async def test_too_few_confirmations() -> None:
    shop = Shop(confirmations=3)
    tx = shop.order(quote())
    with pytest.raises(TransactionPending, match="1 of 3"):
        await verified(shop, tx)
    shop.chain.mine(2)
    assert await verified(shop, tx)


async def test_reverted(shop: Shop) -> None:
    assert await refusal(shop, shop.order(quote(), succeeded=False)) == order_rules.FAILED


async def test_reorganised_away(shop: Shop) -> None:
    tx = shop.order(quote())
    assert await verified(shop, tx)
    shop.chain.reorganise(1)
    with pytest.raises(TransactionUnknown):
        await verified(shop, tx)


async def test_renewed_order_reorganised_away(shop: Shop) -> None:
    """The renewal is still there, what it renews is not."""
    tx = shop.order(quote(valid_until=NOW - 1))
    again = shop.renew(tx, quote())
    shop.chain.reorganise(2, keep=False)
    late = shop.renew(tx, quote())
    with pytest.raises(TransactionUnknown):
        await verified(shop, again)
    assert await refusal(shop, late) == order_rules.ORIGINAL_FAILED


async def test_chain_down(shop: Shop) -> None:
    tx = shop.order(quote())
    shop.chain.unreachable = True
    with pytest.raises(ChainUnavailable):
        await verified(shop, tx)


async def test_look_alike_contract(shop: Shop) -> None:
    """All that an attacker needs is a free quote and a contract that logs what it is told."""
    tx = shop.order(quote(), emitter=LOOK_ALIKE)
    assert await refusal(shop, tx) == order_rules.NO_FEE.format(tx)


async def test_look_alike_nft(shop: Shop) -> None:
    """It says that the datatoken is its own, but no factory knows it."""
    shop.chain.publish(STRANGER, LOOK_ALIKE_NFT, [LOOK_ALIKE])
    fee = quote(datatoken=LOOK_ALIKE)
    tx = shop.chain.transact(started(LOOK_ALIKE), paid_fee(LOOK_ALIKE, fee))
    text = await refusal(shop, tx, nft=LOOK_ALIKE_NFT, datatoken=LOOK_ALIKE)
    assert text == f"The asset's NFT {LOOK_ALIKE_NFT} is not from this chain's factory."


async def test_datatoken_of_another_asset(shop: Shop) -> None:
    text = await refusal(shop, shop.order(quote()), nft=ALGORITHM_NFT)
    assert text == f"The datatoken {DATATOKEN} is not deployed by NFT {ALGORITHM_NFT}."


@pytest.mark.parametrize("nft", ["", "0x12", FACTORY, "nonsense"])
async def test_no_nft(shop: Shop, nft: str) -> None:
    assert "is not from this chain's factory" in await refusal(shop, shop.order(quote()), nft=nft)


@pytest.mark.parametrize("datatoken", ["", "0x12", FACTORY, "non\nsense"])
async def test_no_datatoken(shop: Shop, datatoken: str) -> None:
    text = await refusal(shop, shop.order(quote()), datatoken=datatoken)
    assert "is not deployed by NFT" in text
    assert "\n" not in text


async def test_nothing_is_asked_twice(shop: Shop) -> None:
    """Whose contracts they are never changes; a receipt is for the chain to remember."""
    tx = shop.order(quote())
    await verified(shop, tx)
    calls = shop.chain.asked["call"]
    await verified(shop, tx, now=NOW + HOUR / 2)
    assert shop.chain.asked["call"] == calls == 2
