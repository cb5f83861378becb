"""Logs that were written by the trail itself, and hands that spoil them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import asyncpg
from sqlalchemy import Connection

from compute.store.base import Database
from provider.auditing import records
from provider.auditing.asking import asking
from provider.auditing.chain import Chain
from provider.auditing.reading import opened
from provider.auditing.records import Entry, Record
from provider.auditing.trail import Trail
from provider.auditing.verifying import Report, Verifier
from provider.keys import ProviderKey

KEY = ProviderKey(b"\x11" * 32)
THIEF = ProviderKey(b"\x22" * 32)
WALLET = "0x" + "ab" * 20
JOB = "0123456789abcdef" * 2
NOW = 1_800_000_000.0


def entry(kind: str = "start", **changes: object) -> Entry:
    values: dict[str, object] = {"time": NOW, "kind": kind, "actor": WALLET, "job": JOB}
    return Entry(**(values | changes))  # type: ignore[arg-type]


async def append(database: Database, *entries: Entry, key: ProviderKey = KEY) -> None:
    def work(connection: Connection) -> None:
        chain = Chain(key)
        for each in entries:
            chain.append(connection, each)

    await database.write(work)


async def lived(database: Database, requests: int = 4) -> Trail:
    """The log of a service that started, was asked some things, and ended."""
    trail = Trail(database, KEY, now=lambda: NOW)
    await trail.begin({"version": "1"})
    for number in range(requests):
        asking().about("start", f"{number:032x}", environment="test")
        await trail.write(lambda connection: None)
    await trail.end()
    return trail


async def stored(url: str) -> list[Record]:
    async with opened(url) as log:
        return [record async for record in log.all()]


def verified(
    found: Sequence[Record], *, kept: dict[int, str] | None = None, whole: bool = True
) -> Report:
    verifier = Verifier([KEY.address], kept, whole=whole)
    for record in found:
        verifier.add(record)
    return verifier.report()


async def spoil(url: str, *statements: str) -> None:
    """What somebody does who can write the database, and knows of the triggers."""
    if url.startswith("sqlite"):
        spoil_file(Path(url.removeprefix("sqlite:///")), *statements)
        return
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER TABLE audit DISABLE TRIGGER USER")
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def spoil_file(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for name in ("audit_no_update", "audit_no_delete"):
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        for statement in statements:
            connection.execute(statement)


def rewritten(
    found: Sequence[Record],
    change: Callable[[dict[str, object]], dict[str, object] | None],
    key: ProviderKey | None = None,
) -> list[Record]:
    """The chain made anew with records changed or, for None, left out, all numbers and hashes
    in order; heads signed anew by ``key`` if there is one."""
    made: list[Record] = []
    previous = records.FIRST_PREVIOUS
    for record in found:
        values = change(json.loads(record.body))
        if values is None:
            continue
        values |= {"sequence": len(made) + 1, "previous": previous}
        if values["kind"] == records.HEAD and key is not None:
            signature = key.sign_digest(records.head_digest(len(made), previous))
            values["details"] = {
                "sequence": len(made),
                "hash": previous,
                "address": key.address,
                "signature": signature,
            }
        body = records.canonical(values)
        previous = records.digest(body)
        made.append(Record(len(made) + 1, str(values["time"]), str(values["job"]), body, previous))
    return made
