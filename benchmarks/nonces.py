"""Consuming nonces in PostgreSQL: 64 clients, each with a wallet of its own.

Ours is what a signed request does: :meth:`provider.auth.nonces.Nonces.spend` with the text
that was signed, through the one writer of the process, answered after its commit. The
reference is what one would write first: a pool of ten connections of asyncpg, on which each
consumption is one statement and one commit, without what else a text may be bound to. Both
are on one server, which flushes to a real disk (``fsync`` and ``synchronous_commit`` on), and
neither answers before that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
from support.postgres import running

from benchmarks.figures import Figure, alternate
from compute.store.base import Database
from compute.store.database import open_database
from provider.auth.nonces import Nonces
from provider.auth.texts import SignedText
from provider.errors import NonceTooLow
from provider.migrations import VERSIONS

CLIENTS = 64
EACH = 40
CONNECTIONS = 10
_NAIVE = (
    "INSERT INTO nonces AS known (address, nonce) VALUES ($1, $2)"
    " ON CONFLICT (address) DO UPDATE SET nonce = excluded.nonce"
    " WHERE known.nonce < excluded.nonce"
)

Consume = Callable[[str, int], Awaitable[bool]]
"""Of a wallet, a nonce. False if it was used up before."""


async def figures(rounds: int) -> list[Figure]:
    with running(on_disk=True) as server:
        url = server.prepared(VERSIONS)
        database = await open_database(url, migrations=(VERSIONS,))
        try:
            async with asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
                return [await consumed(database, pool, rounds)]
        finally:
            await database.close()


async def consumed(database: Database, pool: asyncpg.Pool[asyncpg.Record], rounds: int) -> Figure:
    nonces = Nonces(database)

    async def ours(wallet: str, nonce: int) -> bool:
        try:
            await nonces.spend(wallet, nonce, SignedText.of(f"{wallet}{nonce}"))
        except NonceTooLow:
            return False
        return True

    async def naive(wallet: str, nonce: int) -> bool:
        done: str = await pool.execute(_NAIVE, wallet, nonce)
        return done == "INSERT 0 1"

    await _a_second(ours), await _a_second(naive)
    figure, reference, ratio = await alternate(
        rounds, lambda: _a_second(ours), lambda: _a_second(naive)
    )
    await _require_single_use(ours)
    return Figure("nonces consumed, PostgreSQL", figure, reference, "/s", ratio, 2.0, False)


async def _a_second(consume: Consume) -> float:
    """How many a second, each client one after the other."""
    first = time.time_ns()

    async def client(number: int) -> None:
        wallet = _wallet(number)
        for step in range(EACH):
            assert await consume(wallet, first + step)

    began = time.perf_counter()
    await asyncio.gather(*map(client, range(CLIENTS)))
    return CLIENTS * EACH / (time.perf_counter() - began)


async def _require_single_use(consume: Consume) -> None:
    """Of many who come with one nonce, one is served, and nobody afterwards."""
    nonce = time.time_ns()
    served = await asyncio.gather(*(consume(_wallet(0), nonce) for _ in range(CLIENTS)))
    assert sum(served) == 1
    assert not await consume(_wallet(0), nonce)


def _wallet(number: int) -> str:
    return f"0x{number:040x}"
