"""A nonce is good once, and only if it is greater than all before."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select
from support.sqlite import prepared

from compute.store.base import Database
from compute.store.database import open_database
from provider.auth import nonces as module
from provider.auth.nonces import Nonces
from provider.auth.tables import nonces as table
from provider.auth.tables import used_texts
from provider.auth.texts import SignedText
from provider.errors import NonceInvalid, NonceTooLow, SignatureWrong
from provider.migrations import VERSIONS

ALICE = "0xAaAaAaAaAaAaAaAaAaAaAaAaAaAaAaAaAaAaAaAa"
BOB = "0xBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBb"
NOW_NS = 1_790_000_000_000_000_000


async def row_count(database: Database) -> int:
    return await database.read(
        lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one()
    )


async def test_asking_writes_nothing(nonces: Nonces, database: Database) -> None:
    assert await nonces.last(ALICE) is None
    assert await nonces.last(ALICE) is None
    assert await row_count(database) == 0


async def test_a_greater_nonce_is_accepted(nonces: Nonces) -> None:
    for nonce in (1, 2, 1000, NOW_NS, 2**63 - 1):
        await nonces.spend(ALICE, nonce)
        assert await nonces.last(ALICE) == nonce


@pytest.mark.parametrize("nonce", [0, 1, 99, 100])
async def test_an_equal_or_lower_nonce_is_refused(nonces: Nonces, nonce: int) -> None:
    await nonces.spend(ALICE, 100)
    with pytest.raises(NonceTooLow) as refused:
        await nonces.spend(ALICE, nonce)
    assert (refused.value.stored, refused.value.given) == (100, nonce)
    assert await nonces.last(ALICE) == 100


@pytest.mark.parametrize("nonce", [-1, 2**63, 10**30])
async def test_a_number_that_no_row_holds_is_refused(nonces: Nonces, nonce: int) -> None:
    with pytest.raises(NonceInvalid):
        nonces.consume(ALICE, nonce)


async def test_casing_makes_no_other_wallet(nonces: Nonces, database: Database) -> None:
    await nonces.spend(ALICE, 5)
    for casing in (ALICE.lower(), ALICE.upper().replace("X", "x")):
        assert await nonces.last(casing) == 5
        with pytest.raises(NonceTooLow):
            await nonces.spend(casing, 5)
    assert await row_count(database) == 1


async def test_wallets_do_not_share_nonces(nonces: Nonces) -> None:
    await nonces.spend(ALICE, 10)
    await nonces.spend(BOB, 5)
    assert (await nonces.last(ALICE), await nonces.last(BOB)) == (10, 5)


async def test_of_many_requests_with_one_nonce_exactly_one_wins(nonces: Nonces) -> None:
    outcomes = await asyncio.gather(
        *(nonces.spend(ALICE, 7) for _ in range(200)), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, NonceTooLow) for outcome in outcomes) == 199


async def test_a_first_nonce_is_also_won_once_by_separate_memories(database: Database) -> None:
    outcomes = await asyncio.gather(
        *(Nonces(database).spend(ALICE, 7) for _ in range(50)), return_exceptions=True
    )
    assert outcomes.count(None) == 1


async def test_concurrent_rising_nonces_end_at_the_greatest(nonces: Nonces) -> None:
    await asyncio.gather(
        *(nonces.spend(ALICE, nonce) for nonce in (3, 1, 4, 1, 5, 9, 2, 6)), return_exceptions=True
    )
    assert await nonces.last(ALICE) == 9


async def test_a_nonce_is_not_used_when_what_follows_fails(
    nonces: Nonces, database: Database
) -> None:
    spend = nonces.consume(ALICE, 7)

    def work(connection: Connection) -> None:
        spend(connection)
        raise LookupError("no such job")

    await nonces.spend(ALICE, 6)
    with pytest.raises(LookupError):
        await database.write(work)
    assert await nonces.last(ALICE) == 6
    assert await Nonces(database).last(ALICE) == 6
    await nonces.spend(ALICE, 7)


async def test_memory_is_never_ahead_of_the_table(nonces: Nonces, database: Database) -> None:
    """Whatever is told from memory at any moment, the table has at least that."""

    async def climb() -> None:
        for nonce in range(1, 200):
            await nonces.spend(ALICE, nonce)

    async def compare() -> int:
        told = await nonces.last(ALICE) or 0
        assert told <= (await Nonces(database).last(ALICE) or 0)
        return told

    climbing = asyncio.create_task(climb())
    while not climbing.done():
        await compare()
    await climbing
    assert await compare() == 199


async def test_memory_is_up_to_date_when_the_answer_comes(nonces: Nonces) -> None:
    async def spend_and_ask(wallet: str) -> None:
        for nonce in range(1, 30):
            await nonces.spend(wallet, nonce)
            assert await nonces.last(wallet) == nonce

    await asyncio.gather(*(spend_and_ask(f"0x{number:040x}") for number in range(16)))


async def test_a_known_nonce_is_told_without_the_database_by_a_process_alone(
    tmp_path: Path,
) -> None:
    database = await open_database(prepared(tmp_path / "alone.db", VERSIONS), migrations=[VERSIONS])
    nonces = Nonces(database)
    await nonces.spend(ALICE, 3)
    await database.close()
    assert await nonces.last(ALICE) == 3


async def test_a_forgotten_wallet_is_looked_up_again(database: Database) -> None:
    nonces = Nonces(database, recent=1)
    await nonces.spend(ALICE, 3)
    await nonces.spend(BOB, 4)
    assert await nonces.last(ALICE) == 3
    with pytest.raises(NonceTooLow):
        await nonces.spend(ALICE, 3)


async def test_nonces_outlive_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/restart.db"
    for _ in range(2):
        database = await open_database(url, migrations=[VERSIONS])
        nonces = Nonces(database)
        if await nonces.last(ALICE) is None:
            await nonces.spend(ALICE, NOW_NS)
        else:
            with pytest.raises(NonceTooLow):
                await nonces.spend(ALICE, NOW_NS)
        await database.close()


def signed(number: int) -> SignedText:
    return SignedText.of(f"{ALICE}{number}")


async def bound(database: Database) -> list[int]:
    """The reaches of the texts that are kept."""
    query = select(used_texts.c.reach).order_by(used_texts.c.reach)
    return await database.read(lambda connection: list(connection.execute(query).scalars()))


async def test_a_text_is_good_for_the_nonce_it_was_served_with(
    nonces: Nonces, database: Database
) -> None:
    await nonces.spend(ALICE, 5, signed(125))
    for nonce in (25, 125):
        for memory in (nonces, Nonces(database)):
            with pytest.raises(SignatureWrong, match="signed for another nonce before"):
                await memory.spend(ALICE, nonce, signed(125))
    assert await nonces.last(ALICE) == 5
    await nonces.spend(ALICE, 125, signed(1125))


async def test_of_concurrent_readings_of_one_text_exactly_one_wins(nonces: Nonces) -> None:
    await nonces.spend(ALICE, 1)
    outcomes = await asyncio.gather(
        *(nonces.spend(ALICE, nonce, signed(125)) for nonce in (5, 25, 125)), return_exceptions=True
    )
    assert outcomes.count(None) == 1


async def test_a_text_is_kept_while_it_can_be_read_with_an_unused_nonce(
    nonces: Nonces, database: Database
) -> None:
    await nonces.spend(ALICE, 5, signed(5))
    await nonces.spend(ALICE, 6, signed(16))
    await nonces.spend(ALICE, 7, signed(907))
    assert await bound(database) == [16, 907]
    await nonces.spend(ALICE, 32, signed(332))
    assert await bound(database) == [332, 907]
    await nonces.spend(ALICE, NOW_NS, SignedText.of(f"{ALICE}12{NOW_NS}"))
    assert await bound(database) == [332, 907]


async def test_a_bound_text_leaves_its_nonce_unused(nonces: Nonces, database: Database) -> None:
    await nonces.spend(ALICE, 2)
    for _ in range(2):
        await nonces.bind(ALICE, 5, signed(125))
    with pytest.raises(SignatureWrong):
        await nonces.bind(ALICE, 25, signed(125))
    with pytest.raises(SignatureWrong):
        await nonces.spend(ALICE, 125, signed(125))
    await nonces.bind(ALICE, 5, signed(5))
    assert await bound(database) == [125]
    await nonces.spend(ALICE, 5, signed(125))


async def test_a_text_is_not_kept_when_what_follows_fails(
    nonces: Nonces, database: Database
) -> None:
    await nonces.spend(ALICE, 2)
    spend = nonces.consume(ALICE, 5, signed(125))

    def work(connection: Connection) -> None:
        spend(connection)
        raise LookupError("no such job")

    with pytest.raises(LookupError):
        await database.write(work)
    assert await bound(database) == []


@settings(max_examples=25, deadline=None)
@given(uses=st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 4)), max_size=40))
def test_no_text_is_served_twice_however_it_is_read(uses: list[tuple[int, int]]) -> None:
    async def run(url: str) -> None:
        served: set[int] = set()
        database = await open_database(url, migrations=[VERSIONS])
        nonces = Nonces(database)
        for number, digits in uses:
            nonce = int(str(number)[-digits:])
            with suppress(NonceTooLow, SignatureWrong):
                await nonces.spend(ALICE, nonce, signed(number))
                assert number not in served
                served.add(number)
        await database.close()

    with TemporaryDirectory() as folder:
        asyncio.run(run(prepared(Path(folder) / "model.db", VERSIONS)))


requests = st.lists(
    st.tuples(
        st.sampled_from([ALICE, ALICE.lower(), BOB]), st.integers(0, 2**63 - 1) | st.integers(0, 9)
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(requests, max_size=4))
def test_it_is_as_simple_as_a_table_of_greatest_numbers(
    batches: list[list[tuple[str, int]]],
) -> None:
    """Against a model; requests of one batch are handed in together, in order."""

    async def run(url: str) -> None:
        greatest: dict[str, int] = {}
        database = await open_database(url, migrations=[VERSIONS])
        nonces = Nonces(database, recent=1)
        for batch in batches:
            outcomes = await asyncio.gather(
                *(nonces.spend(wallet, nonce) for wallet, nonce in batch), return_exceptions=True
            )
            for (wallet, nonce), outcome in zip(batch, outcomes, strict=True):
                accepted = nonce > greatest.get(wallet.lower(), -1)
                assert (outcome is None) == accepted
                if accepted:
                    greatest[wallet.lower()] = nonce
        for wallet in (ALICE, BOB):
            assert await nonces.last(wallet) == greatest.get(wallet.lower())
        await database.close()

    with TemporaryDirectory() as folder:
        asyncio.run(run(prepared(Path(folder) / "model.db", VERSIONS)))


def test_the_compare_and_set_is_one_statement_on_postgresql() -> None:
    said = " ".join(str(module._CONSUME_POSTGRESQL).split())
    assert said.startswith("INSERT INTO nonces (address, nonce) SELECT")
    assert " FROM unnest(" in said
    assert " WHERE NOT EXISTS (SELECT 1 FROM used_texts WHERE " in said
    assert said.endswith(
        "ON CONFLICT (address) DO UPDATE SET nonce = excluded.nonce"
        " WHERE nonces.nonce < excluded.nonce RETURNING address"
    )


async def test_many_at_once_are_served_as_one_after_the_other(
    nonces: Nonces, database: Database
) -> None:
    """In one unit, as when they share a statement: of a wallet, of several, and of one text
    that says two nonces."""
    text = signed(125)
    uses = [
        module._Use(ALICE.lower(), 5, text),
        module._Use(BOB.lower(), 7, None),
        module._Use(ALICE.lower(), 125, text),
        module._Use(BOB.lower(), 7, None),
        module._Use(BOB.lower(), 8, None),
        module._Use(ALICE.lower(), 6, None),
    ]
    outcomes = await database.write(lambda connection: nonces._use_up(connection, uses))
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        type(None),
        SignatureWrong,
        NonceTooLow,
        type(None),
        type(None),
    ]
    assert await nonces.last(ALICE) == 6
    assert await nonces.last(BOB) == 8
    assert await row_count(database) == 2
