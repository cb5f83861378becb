"""A text that was shown to one process is good at no other for anything else."""

from __future__ import annotations

import asyncio

import pytest
from support.sharing import Process

from compute.store.base import Database
from provider.auth.nonces import Nonces
from provider.auth.shown import TEXTS_PER_WALLET, ShownHere
from provider.auth.shown_texts import FRESH_S, KEPT_S, ShownTexts, shown
from provider.errors import NonceTooLow, SignatureWrong

ASK, STOP = "computeStatus", "computeStop"


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def over(process: Process, clock: Clock) -> ShownTexts:
    """As after a start of that process."""
    return ShownTexts(process, Nonces(process), clock)


def text(number: int) -> bytes:
    return b"text %d" % number


def test_memory_is_enough_for_one_process_alone(
    alone: Database, here: Process, clock: Clock
) -> None:
    assert isinstance(shown(alone, Nonces(alone), clock), ShownHere)
    assert isinstance(shown(here, Nonces(here), clock), ShownTexts)


@pytest.mark.parametrize("known", [True, False])
async def test_a_question_here_is_no_order_there(
    here: Process, there: Process, clock: Clock, known: bool
) -> None:
    mine, theirs = over(here, clock), over(there, clock)
    await mine.question("0xa", text(5), ASK, 5, known=known)
    for operation, nonce in ((STOP, 5), (ASK, 15)):
        with pytest.raises(SignatureWrong, match="signed for computeStatus before"):
            await theirs.claim("0xa", text(5), operation, nonce, known=known)
        with pytest.raises(SignatureWrong, match="signed for computeStatus before"):
            await theirs.question("0xa", text(5), operation, nonce, known=known)
    await theirs.question("0xa", text(5), ASK, 5, known=known)
    await theirs.claim("0xb", text(5), STOP, 5, known=known)
    assert [await each.last("0xa") for each in (mine, theirs)] == [5, 5]
    assert await mine.last("0xb") == 0


async def test_of_all_processes_one_serves_a_text(
    here: Process, there: Process, clock: Clock
) -> None:
    mine, theirs = over(here, clock), over(there, clock)
    for number in range(1, 21):
        outcomes = await asyncio.gather(
            mine.question("0xa", text(number), ASK, number, known=True),
            theirs.claim("0xa", text(number), STOP, number, known=True),
            return_exceptions=True,
        )
        assert sorted(type(each) for each in outcomes if each is not None) == [SignatureWrong]


async def test_a_question_that_comes_again_costs_no_write(here: Process, clock: Clock) -> None:
    mine = over(here, clock)
    for _ in range(10):
        await mine.question("0xa", text(5), ASK, 5, known=True)
    assert here.writes == 1
    assert mine.has("0xa", text(5))
    clock.now += FRESH_S
    assert not mine.has("0xa", text(5))
    await mine.question("0xa", text(5), ASK, 5, known=True)
    assert here.writes == 2


async def test_what_is_refused_costs_no_write(here: Process, there: Process, clock: Clock) -> None:
    await over(here, clock).question("0xa", text(5), ASK, 5, known=True)
    with pytest.raises(SignatureWrong):
        await over(there, clock).claim("0xa", text(5), STOP, 5, known=True)
    assert there.writes == 0


async def test_texts_stay_shown_after_any_end(here: Process, clock: Clock) -> None:
    await over(here, clock).question("0xa", text(5), ASK, 5, known=True)
    with pytest.raises(SignatureWrong):
        await over(here, clock).claim("0xa", text(5), STOP, 5, known=True)


async def test_nonces_of_forgotten_texts_are_good_for_questions_only(
    here: Process, there: Process, clock: Clock
) -> None:
    mine, theirs = over(here, clock), over(there, clock)
    last = TEXTS_PER_WALLET + 10
    for nonce in range(1, last + 1):
        await (mine, theirs)[nonce % 2].question("0xa", text(nonce), ASK, nonce, known=True)
    for nonce in (1, 10):
        with pytest.raises(NonceTooLow, match=r"expected nonce \(10\)"):
            await mine.claim("0xa", text(nonce), STOP, nonce, known=True)
    await theirs.question("0xa", text(1), ASK, 1, known=True)
    assert await mine.last("0xa") == last
    await mine.claim("0xa", text(last + 1), STOP, last + 1, known=True)


async def test_a_skipped_nonce_is_told_by_all(here: Process, there: Process, clock: Clock) -> None:
    await over(here, clock).skip("0xa", 7)
    await over(here, clock).skip("0xa", 6)
    assert await over(there, clock).last("0xa") == 7


async def test_a_wallet_that_shows_nothing_any_more_is_used_up(
    here: Process, there: Process, clock: Clock
) -> None:
    mine, theirs = over(here, clock), over(there, clock)
    await mine.question("0xa", text(5), ASK, 5, known=False)
    await mine.claim("0xb", text(9), STOP, 9, known=False)
    await Nonces(here).spend("0xc", 9)
    await mine.question("0xc", text(3), ASK, 3, known=True)
    clock.now += KEPT_S
    await mine.question("0xd", text(4), ASK, 4, known=False)
    clock.now += 1
    await theirs.tidy()
    nonces = Nonces(there)
    assert [await nonces.last(each) for each in ("0xa", "0xb", "0xc", "0xd")] == [5, 9, 9, None]
    assert [await theirs.last(each) for each in ("0xa", "0xd")] == [0, 4]
    await theirs.tidy()
    assert await nonces.last("0xd") is None


async def test_who_asks_all_the_time_is_not_forgotten(
    here: Process, there: Process, clock: Clock
) -> None:
    mine = over(here, clock)
    for _ in range(int(2 * KEPT_S / FRESH_S) * 2):
        await mine.question("0xa", text(5), ASK, 5, known=True)
        clock.now += FRESH_S / 2
        await over(there, clock).tidy()
    assert await Nonces(there).last("0xa") is None
    with pytest.raises(SignatureWrong):
        await over(there, clock).claim("0xa", text(5), STOP, 5, known=True)
