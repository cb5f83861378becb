"""A text that was shown is good for what it was shown for."""

from __future__ import annotations

import pytest

from provider.auth.nonces import Nonces
from provider.auth.shown import TEXTS_PER_WALLET, ShownHere
from provider.errors import NonceTooLow, SignatureWrong

ASK, STOP = "computeStatus", "computeStop"


def text(number: int) -> bytes:
    return b"text %d" % number


@pytest.mark.parametrize("known", [True, False])
async def test_a_question_is_no_order(nonces: Nonces, known: bool) -> None:
    shown = ShownHere(nonces)
    for _ in range(3):
        await shown.question("0xa", text(5), ASK, 5, known=known)
    for operation, nonce in ((STOP, 5), (ASK, 15)):
        with pytest.raises(SignatureWrong, match="signed for computeStatus before"):
            await shown.claim("0xa", text(5), operation, nonce, known=known)
    await shown.claim("0xb", text(5), STOP, 5, known=known)
    assert (await shown.last("0xa"), await shown.last("0xb")) == (5, 0)


async def test_a_text_stays_shown_when_the_wallet_uses_its_first_nonce(nonces: Nonces) -> None:
    shown = ShownHere(nonces)
    await shown.question("0xa", text(5), ASK, 5, known=False)
    with pytest.raises(SignatureWrong):
        await shown.claim("0xa", text(5), STOP, 5, known=True)


@pytest.mark.parametrize("known", [True, False])
async def test_nonces_of_forgotten_texts_are_good_for_questions_only(
    nonces: Nonces, known: bool
) -> None:
    shown = ShownHere(nonces)
    last = TEXTS_PER_WALLET + 10
    for nonce in range(1, last + 1):
        await shown.question("0xa", text(nonce), ASK, nonce, known=known)
    for nonce in (1, 10):
        with pytest.raises(NonceTooLow, match=r"expected nonce \(10\)"):
            await shown.claim("0xa", text(nonce), STOP, nonce, known=known)
    await shown.question("0xa", text(1), ASK, 1, known=known)
    assert await shown.last("0xa") == last
    await shown.claim("0xa", text(last + 1), STOP, last + 1, known=known)
    assert await nonces.last("0xa") is None


async def test_an_orderly_end_uses_up_what_was_shown(nonces: Nonces) -> None:
    shown = ShownHere(nonces)
    await nonces.spend("0xa", 9)
    await shown.question("0xa", text(12), ASK, 12, known=True)
    await shown.claim("0xa", text(14), STOP, 14, known=True)
    await shown.claim("0xb", text(3), STOP, 3, known=False)
    await nonces.spend("0xc", 9)
    await shown.claim("0xc", text(9), STOP, 9, known=True)
    await shown.write()
    assert [await nonces.last(wallet) for wallet in ("0xa", "0xb", "0xc")] == [14, 3, 9]


@pytest.mark.parametrize("known", [True, False])
async def test_what_memory_cannot_hold_is_written_down(nonces: Nonces, known: bool) -> None:
    shown = ShownHere(nonces, wallets=2, strangers=2)
    for wallet in ("0xa", "0xb", "0xa", "0xc"):
        await shown.question(wallet, text(5), ASK, 5, known=known)
    assert [await nonces.last(wallet) for wallet in ("0xa", "0xb", "0xc")] == [None, 5, None]


async def test_strangers_do_not_crowd_out_wallets_with_jobs(nonces: Nonces) -> None:
    shown = ShownHere(nonces, wallets=1, strangers=1)
    await shown.question("0xa", text(5), ASK, 5, known=True)
    for number in range(5):
        await shown.question(f"0x{number}", text(5), ASK, 5, known=False)
    assert shown.has("0xa", text(5))
    assert await nonces.last("0xa") is None
