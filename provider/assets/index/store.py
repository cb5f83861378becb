"""The asset index on disk: what was seen on each chain, and the present made from it.

Each unit of work brings rows and progress together, so that a crash leaves an index that is
right up to some block. Undoing a reorganisation is the same in reverse: rows above a block
go, and the present of the assets they spoke of is worked out again from what is left. Only
newest versions have their documents; one that becomes the newest again is read anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from compute.store.base import Action, Database, Listener, Work, announce, nothing
from provider.assets.index.models import (
    Change,
    ContractFacts,
    Entry,
    Query,
    StateChange,
    Tip,
    Version,
    checkpoints_to_drop,
)
from provider.assets.index.tables import (
    PENDING,
    asset_states,
    asset_versions,
    assets,
    contract_facts,
    index_checkpoints,
    indexed_chains,
)
from provider.assets.published import did_of

PASSED = "index.passed"
"""Announced as ``index.passed:<chain>:<block>`` when the index stands there."""

WANTED = "index.wanted"
"""Announced as ``index.wanted:<chain>`` by who waits for the present head."""

MAX_QUERY_WORDS = 8
MAX_PAGE_BYTES = 4 * 1024 * 1024
"""Of documents in one answer; the last one may go beyond."""

Place = tuple[str, int, int]
"""NFT, block and place in it of a version."""

_CHAIN: BindParameter[int] = bindparam("chain_id")
_PLACED = (asset_versions, asset_states)
_VERSION_COLUMNS = [asset_versions.c[each.name] for each in fields(Version)]
_ENTRY_COLUMNS = [
    assets.c.did,
    assets.c.state.label("present_state"),
    assets.c.created_at,
    *_VERSION_COLUMNS,
]
_IS_NEWEST = and_(
    assets.c.chain_id == asset_versions.c.chain_id,
    assets.c.block == asset_versions.c.block,
    assets.c.log_index == asset_versions.c.log_index,
)


def _of_asset(table: Table, *, newest: bool) -> Select[Any]:
    places = (table.c.block, table.c.log_index)
    return (
        select(table.c.block, table.c.log_index, table.c.state, table.c.timestamp)
        .where(table.c.chain_id == _CHAIN, table.c.nft == bindparam("nft"))
        .order_by(*(place.desc() if newest else place for place in places))
        .limit(1)
    )


_NEWEST_VERSION = _of_asset(asset_versions, newest=True)
_FIRST_VERSION = _of_asset(asset_versions, newest=False)
_NEWEST_STATE = _of_asset(asset_states, newest=True)
_DROP_ASSET = delete(assets).where(assets.c.chain_id == _CHAIN, assets.c.nft == bindparam("nft"))
_DROP_PLACE = {
    table: delete(table)
    .where(
        table.c.chain_id == _CHAIN,
        table.c.block == bindparam("block"),
        table.c.log_index == bindparam("log_index"),
    )
    .returning(table.c.nft)
    for table in _PLACED
}
_EMPTY_PLACE = (
    update(asset_versions)
    .where(
        asset_versions.c.chain_id == bindparam("of_chain"),
        asset_versions.c.block == bindparam("at_block"),
        asset_versions.c.log_index == bindparam("at_index"),
        ~exists().where(_IS_NEWEST).correlate(asset_versions),
    )
    .values(document=None, problem="", kind="", tokens="", words="", attempts=0, retry_at=None)
)


class IndexStore:
    """The index's tables in the service's database.

    Whoever follows a chain writes nothing of it that ``may`` does not let: it is carried out
    first in each such transaction, and raises.
    """

    def __init__(self, database: Database, may: Work[None] = nothing) -> None:
        self._database = database
        self._may = may

    async def begin(self, chain_id: int, basis: str, first_block: int) -> Tip:
        """Where to go on following a chain from ``first_block``.

        What was made on another ``basis``, or only from a later block on, is forgotten.
        """

        def work(connection: Connection) -> Tip:
            self._may(connection)
            query = select(indexed_chains).where(indexed_chains.c.chain_id == chain_id)
            row = connection.execute(query).one_or_none()
            if row is not None and row.basis == basis and row.first_block <= first_block:
                return Tip(row.number, row.hash)
            start = Tip(first_block - 1, "")
            _undo(connection, chain_id, Tip(-1, ""))
            connection.execute(delete(indexed_chains).where(indexed_chains.c.chain_id == chain_id))
            line = {"chain_id": chain_id, "basis": basis, "first_block": first_block}
            connection.execute(
                insert(indexed_chains), line | {"number": start.number, "hash": start.hash}
            )
            return start

        return await self._database.write(work)

    async def checkpoints(self, chain_id: int) -> list[Tip]:
        """Blocks that were passed, in the order of the chain."""
        query = (
            select(index_checkpoints.c.number, index_checkpoints.c.hash)
            .where(index_checkpoints.c.chain_id == chain_id)
            .order_by(index_checkpoints.c.number)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [Tip(row.number, row.hash) for row in rows]

    async def known(self, chain_id: int, first: int, last: int) -> set[tuple[int, int, str]]:
        """Block, place and block hash of the events held of these blocks."""

        def work(connection: Connection) -> set[tuple[int, int, str]]:
            held: set[tuple[int, int, str]] = set()
            for table in _PLACED:
                query = select(table.c.block, table.c.log_index, table.c.block_hash).where(
                    table.c.chain_id == chain_id, table.c.block.between(first, last)
                )
                held.update((row[0], row[1], row[2]) for row in connection.execute(query))
            return held

        return await self._database.read(work)

    async def record(self, chain_id: int, changes: Sequence[Change], tip: Tip | None) -> bool:
        """Keep these events and that all is known up to ``tip``, together.

        Without ``tip`` there is more to come of the same block; what lies above the last tip
        is to be undone unless it comes. True when events of another fork were pushed aside.
        """

        def work(connection: Connection) -> bool:
            self._may(connection)
            touched = {change.nft for change in changes}
            before = _places(connection, chain_id, touched)
            replaced = {nft for change in changes for nft in _put(connection, change)}
            _refresh(connection, chain_id, touched | replaced)
            _empty(connection, chain_id, before | set(map(_place, changes)))
            if tip is not None:
                _pass(connection, chain_id, tip)
                announce(connection, f"{PASSED}:{chain_id}:{tip.number}")
            return bool(replaced)

        return await self._database.write(work)

    async def undo(self, chain_id: int, tip: Tip) -> None:
        """Forget all that came after ``tip``."""

        def work(connection: Connection) -> None:
            self._may(connection)
            _undo(connection, chain_id, tip)
            announce(connection, f"{PASSED}:{chain_id}:{tip.number}")

        await self._database.write(work)

    async def block(self, chain_id: int) -> int | None:
        """All up to this block is in the index; None as long as no block was looked at."""
        query = select(indexed_chains.c.number, indexed_chains.c.hash).where(
            indexed_chains.c.chain_id == chain_id
        )
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return row.number if row is not None and row.hash else None

    async def want(self, chain_id: int) -> None:
        """Have whoever follows the chain look at its head now."""
        await self._database.write(lambda connection: announce(connection, f"{WANTED}:{chain_id}"))

    def hear(self, listener: Listener) -> Action:
        """See :meth:`compute.store.base.Database.hear`."""
        return self._database.hear(listener)

    async def find(self, did: str) -> Entry | None:
        """The present of the asset with this DID."""
        query = _entries().where(assets.c.did == did)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _entry(row)

    async def search(self, query: Query) -> tuple[int, list[Entry]]:
        """How many assets meet a query's conditions, and those it wants to see of them.

        As many as make ``MAX_PAGE_BYTES`` of documents; the rest is for the next page.
        """
        matching = _matching(query)
        counting = select(func.count()).select_from(matching.subquery())
        age = assets.c.created_at if query.oldest_first else assets.c.created_at.desc()
        page = matching.order_by(age, assets.c.did).offset(query.first).limit(query.size)

        def work(connection: Connection) -> tuple[int, list[Entry]]:
            total = connection.execute(counting).scalar_one()
            dids = connection.execute(page).scalars().all()
            return total, list(_within_bounds(connection, dids))

        return await self._database.read(work)

    async def due(
        self, chain_id: int, now: float, limit: int, *, apart_from: Collection[str] = ()
    ) -> list[Version]:
        """Versions to be asked for again: one of each host, none of ``apart_from``.

        Those that were asked for least often come first, then those that waited longest.
        """
        turn = (asset_versions.c.attempts, asset_versions.c.retry_at)
        of_host = func.row_number().over(
            partition_by=asset_versions.c.decryptor_host,
            order_by=(*turn, asset_versions.c.block, asset_versions.c.log_index),
        )
        waiting = (
            select(assets.c.did, *turn, of_host.label("number"))
            .join_from(assets, asset_versions, _IS_NEWEST)
            .where(
                PENDING,
                asset_versions.c.retry_at <= int(now),
                asset_versions.c.chain_id == chain_id,
                asset_versions.c.decryptor_host.not_in(list(apart_from)),
            )
            .subquery()
        )
        first = (
            select(waiting.c.did)
            .where(waiting.c.number == 1)
            .order_by(waiting.c.attempts, waiting.c.retry_at)
            .limit(limit)
        )

        def work(connection: Connection) -> list[Version]:
            dids = connection.execute(first).scalars().all()
            return [each.version for each in _within_bounds(connection, dids)]

        return await self._database.read(work)

    async def emptied(self, chain_id: int, limit: int) -> list[Version]:
        """Versions that were superseded, and are the newest again since others were undone."""
        query = (
            select(*_VERSION_COLUMNS)
            .join_from(assets, asset_versions, _IS_NEWEST)
            .where(
                assets.c.chain_id == chain_id,
                asset_versions.c.problem == "",
                asset_versions.c.document.is_(None),
            )
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_version(row) for row in rows]

    async def settle(self, version: Version) -> None:
        """Keep what became of a version that was due or emptied, if it still is part of the
        chain and the newest one."""
        values = {
            name: getattr(version, name)
            for name in ("document", "problem", "kind", "tokens", "words", "attempts", "retry_at")
        }
        statement = (
            update(asset_versions)
            .where(
                asset_versions.c.chain_id == version.chain_id,
                asset_versions.c.block == version.block,
                asset_versions.c.log_index == version.log_index,
                asset_versions.c.block_hash == version.block_hash,
                exists().where(_IS_NEWEST).correlate(asset_versions),
            )
            .values(**values)
        )

        def work(connection: Connection) -> None:
            self._may(connection)
            connection.execute(statement)

        await self._database.write(work)

    async def facts(self, chain_id: int, addresses: Collection[str]) -> Mapping[str, ContractFacts]:
        """What is known of contracts, by address."""
        query = select(contract_facts).where(
            contract_facts.c.chain_id == chain_id, contract_facts.c.address.in_(addresses)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.address: ContractFacts(**row._mapping) for row in rows}

    async def keep_facts(self, known: Sequence[ContractFacts]) -> None:
        def work(connection: Connection) -> None:
            for facts in known:
                connection.execute(
                    delete(contract_facts).where(
                        contract_facts.c.chain_id == facts.chain_id,
                        contract_facts.c.address == facts.address,
                    )
                )
                connection.execute(insert(contract_facts), asdict(facts))

        await self._database.write(work)


def _put(connection: Connection, change: Change) -> set[str]:
    """Insert; the assets that an event of another fork at the same place spoke of."""
    place = {
        "chain_id": change.chain_id,
        "block": change.block,
        "log_index": change.log_index,
    }
    replaced: set[str] = set()
    for statement in _DROP_PLACE.values():
        replaced.update(connection.execute(statement, place).scalars())
    table = asset_states if isinstance(change, StateChange) else asset_versions
    connection.execute(insert(table), asdict(change))
    return replaced


def _place(change: Change) -> Place:
    return (change.nft, change.block, change.log_index)


def _places(connection: Connection, chain_id: int, nfts: Collection[str]) -> set[Place]:
    """Where the newest version of each of these assets stands."""
    query = select(assets.c.nft, assets.c.block, assets.c.log_index).where(
        assets.c.chain_id == chain_id, assets.c.nft.in_(nfts)
    )
    return {(row[0], row[1], row[2]) for row in connection.execute(query)}


def _empty(connection: Connection, chain_id: int, places: Iterable[Place]) -> None:
    """Of these versions, have those no document that are not the newest of their asset.

    They are read again from the chain should they become that again.
    """
    for _, block, log_index in places:
        connection.execute(
            _EMPTY_PLACE, {"of_chain": chain_id, "at_block": block, "at_index": log_index}
        )


def _pass(connection: Connection, chain_id: int, tip: Tip) -> None:
    marks = index_checkpoints
    connection.execute(
        delete(marks).where(marks.c.chain_id == chain_id, marks.c.number == tip.number)
    )
    connection.execute(
        insert(marks), {"chain_id": chain_id, "number": tip.number, "hash": tip.hash}
    )
    numbers = connection.execute(select(marks.c.number).where(marks.c.chain_id == chain_id))
    dropped = checkpoints_to_drop(numbers.scalars(), tip.number)
    if dropped:
        connection.execute(
            delete(marks).where(marks.c.chain_id == chain_id, marks.c.number.in_(dropped))
        )
    _move(connection, chain_id, tip)


def _move(connection: Connection, chain_id: int, tip: Tip) -> None:
    connection.execute(
        update(indexed_chains)
        .where(indexed_chains.c.chain_id == chain_id)
        .values(number=tip.number, hash=tip.hash)
    )


def _undo(connection: Connection, chain_id: int, tip: Tip) -> None:
    touched: set[str] = set()
    for table in _PLACED:
        statement = delete(table).where(table.c.chain_id == chain_id, table.c.block > tip.number)
        touched.update(connection.execute(statement.returning(table.c.nft)).scalars())
    for column in (index_checkpoints.c.number, contract_facts.c.block):
        table = column.table
        connection.execute(delete(table).where(table.c.chain_id == chain_id, column > tip.number))
    _refresh(connection, chain_id, touched)
    _move(connection, chain_id, tip)


def _refresh(connection: Connection, chain_id: int, nfts: Iterable[str]) -> None:
    for nft in nfts:
        row = {"chain_id": chain_id, "nft": nft}
        newest = connection.execute(_NEWEST_VERSION, row).one_or_none()
        first = connection.execute(_FIRST_VERSION, row).one_or_none()
        changed = connection.execute(_NEWEST_STATE, row).one_or_none()
        connection.execute(_DROP_ASSET, row)
        if newest is None or first is None:
            continue
        later = changed is not None and changed[:2] > newest[:2]
        state = changed.state if changed is not None and later else newest.state
        connection.execute(
            insert(assets),
            row
            | {
                "did": did_of(nft, chain_id),
                "block": newest.block,
                "log_index": newest.log_index,
                "state": state,
                "created_at": first.timestamp,
            },
        )


def _entries() -> Select[Any]:
    return select(*_ENTRY_COLUMNS).join_from(assets, asset_versions, _IS_NEWEST)


def _within_bounds(connection: Connection, dids: Iterable[str]) -> Iterator[Entry]:
    """The assets of these DIDs, one by one, until their documents are many bytes."""
    weight = 0
    for did in dids:
        for row in connection.execute(_entries().where(assets.c.did == did)):
            yield _entry(row)
            weight += len((row.document or "").encode())
        if weight >= MAX_PAGE_BYTES:
            break


def _matching(query: Query) -> Select[Any]:
    """The DIDs of what meets a query's conditions."""
    found = select(assets.c.did).join_from(assets, asset_versions, _IS_NEWEST)
    conditions: tuple[tuple[ColumnElement[Any], Collection[Any]], ...] = (
        (assets.c.chain_id, query.chain_ids),
        (assets.c.did, query.dids),
        (assets.c.nft, [nft.lower() for nft in query.nfts]),
        # Strangers ask for states that no column of this size holds.
        (cast(assets.c.state, BigInteger), query.states),
        (asset_versions.c.kind, [kind.lower() for kind in query.kinds]),
    )
    for column, values in conditions:
        if values:
            found = found.where(column.in_(values))
    if query.tokens:
        among = [_holds(token) for token in query.tokens[:MAX_QUERY_WORDS]]
        found = found.where(or_(*among))
    for word in query.text.lower().split()[:MAX_QUERY_WORDS]:
        found = found.where(asset_versions.c.words.contains(word, autoescape=True))
    return found


def _holds(token: str) -> ColumnElement[bool]:
    return asset_versions.c.tokens.contains(f" {token.lower()} ", autoescape=True)


def _entry(row: Row[Any]) -> Entry:
    return Entry(row.did, row.present_state, row.created_at, _version(row))


def _version(row: Row[Any]) -> Version:
    values = row._mapping
    return Version(**{column.name: values[column] for column in _VERSION_COLUMNS})
