"""A deleted token stays deleted for as long as it could have been used."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection

from compute.store.base import Database
from provider.auth.nonces import Nonces
from provider.auth.revocations import Revocations
from provider.errors import NonceTooLow


@pytest.fixture
def revocations(database: Database) -> Revocations:
    return Revocations(database)


async def test_only_what_was_revoked_is(revocations: Revocations) -> None:
    assert not await revocations.revoked("a")
    await revocations.revoke("a", 100.0)
    assert await revocations.revoked("a")
    assert not await revocations.revoked("b")


async def test_a_revocation_is_known_to_another_memory(
    revocations: Revocations, database: Database
) -> None:
    await revocations.revoke("a", 100.0)
    assert await Revocations(database).revoked("a")


async def test_revoking_again_changes_nothing(revocations: Revocations, database: Database) -> None:
    await asyncio.gather(*(revocations.revoke("a", 100.0 - n) for n in range(20)))
    assert await revocations.revoked("a")
    assert await revocations.purge(99.0) == 0
    assert await Revocations(database).revoked("a")


async def test_expired_tokens_are_forgotten(database: Database) -> None:
    revocations = Revocations(database, recent=1)
    for jti, expires_at in (("past", 10.0), ("now", 20.0), ("future", 20.1)):
        await revocations.revoke(jti, expires_at)
    assert await revocations.purge(20.0) == 2
    assert await revocations.purge(20.0) == 0
    fresh = Revocations(database)
    assert [await fresh.revoked(jti) for jti in ("past", "now", "future")] == [False, False, True]


async def test_a_token_and_the_nonce_that_deletes_it_go_together(
    revocations: Revocations, database: Database
) -> None:
    nonces = Nonces(database)
    await revocations.revoke("a", 100.0, also=nonces.consume("0xa", 5))
    assert await nonces.last("0xa") == 5
    with pytest.raises(NonceTooLow):
        await revocations.revoke("b", 100.0, also=nonces.consume("0xa", 5))
    assert not await revocations.revoked("b")
    assert not await Revocations(database).revoked("b")


async def test_the_nonce_is_free_again_when_the_revocation_fails(
    revocations: Revocations, database: Database
) -> None:
    nonces = Nonces(database)
    spend = nonces.consume("0xa", 5)

    def spend_and_fail(connection: Connection) -> None:
        spend(connection)
        raise LookupError

    with pytest.raises(LookupError):
        await revocations.revoke("a", 100.0, also=spend_and_fail)
    assert await nonces.last("0xa") is None
    assert not await revocations.revoked("a")


async def test_a_revoked_token_is_told_without_the_database(
    revocations: Revocations, database: Database
) -> None:
    await revocations.revoke("a", 100.0)
    await database.close()
    assert await revocations.revoked("a")
