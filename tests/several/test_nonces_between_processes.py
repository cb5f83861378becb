"""Nonces and revoked tokens, as several processes see them."""

from __future__ import annotations

import asyncio

from support.sharing import Process

from provider.auth.nonces import Nonces
from provider.auth.revocations import Revocations
from provider.errors import NonceTooLow

ALICE = "0x" + "aB" * 20


async def test_the_last_nonce_is_the_last_of_all_processes(here: Process, there: Process) -> None:
    mine, theirs = Nonces(here), Nonces(there)
    await mine.spend(ALICE, 5)
    assert await theirs.last(ALICE) == 5
    await theirs.spend(ALICE, 8)
    assert await mine.last(ALICE) == 8


async def test_a_nonce_is_used_by_one_process_alone(here: Process, there: Process) -> None:
    processes = [Nonces(here), Nonces(there)]
    for nonce in range(1, 21):
        outcomes = await asyncio.gather(
            *(each.spend(ALICE, nonce) for each in processes * 3), return_exceptions=True
        )
        assert [each for each in outcomes if each is None] == [None]
        assert all(isinstance(each, NonceTooLow) for each in outcomes if each is not None)


async def test_a_token_that_was_revoked_in_one_process_is_revoked_in_all(
    here: Process, there: Process
) -> None:
    mine, theirs = Revocations(here), Revocations(there)
    assert not await theirs.revoked("jti")
    await mine.revoke("jti", 1e9)
    assert await theirs.revoked("jti")
    assert await theirs.purge(2e9) == 1
