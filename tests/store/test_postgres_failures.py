"""PostgreSQL that goes away, comes back, or does not: what is answered is true."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from support import postgres
from support.postgres import PostgresServer

from compute.errors import StoreUnavailable
from compute.store import schema
from compute.store.base import MISSED, Work, after_commit, announce
from compute.store.postgres import PostgresDatabase
from provider.auth.nonces import Nonces
from provider.errors import NonceTooLow
from provider.migrations import VERSIONS

BOTH = (schema.VERSIONS, VERSIONS)
ROOT = Path(__file__).parents[2]

SPEND_ALL = """
import asyncio, sys
from compute.store.database import open_database
from provider.auth.nonces import Nonces
from provider.errors import NonceTooLow
from provider.migrations import VERSIONS

async def main():
    database = await open_database(sys.argv[1], migrations=[VERSIONS])
    nonces = Nonces(database)
    print("open", flush=True)
    sys.stdin.readline()
    for nonce in range(1, 101):
        try:
            await nonces.spend("0xwallet", nonce)
            print(nonce, flush=True)
        except NonceTooLow:
            pass
    await database.close()

asyncio.run(main())
"""


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may treat as it likes."""
    if not postgres.is_installed():
        pytest.skip("no PostgreSQL server is installed (scripts/postgres.sh)")
    with postgres.running() as server:
        yield server


def make_table(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE notes (note TEXT PRIMARY KEY)"))


def add(note: str) -> Work[str]:
    def work(connection: Connection) -> str:
        connection.execute(text("INSERT INTO notes VALUES (:note)"), {"note": note})
        return note

    return work


def notes(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT note FROM notes")).scalars())


async def restart_later(server: PostgresServer, *, kill: bool) -> None:
    """End the server while writes go on, and start it again."""
    await asyncio.to_thread(server.kill if kill else server.stop)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(server.wait)


@pytest.mark.parametrize("kill", [True, False])
async def test_each_answered_write_is_there_once_whatever_became_of_the_server(
    own_server: PostgresServer, kill: bool
) -> None:
    url = own_server.prepared(VERSIONS)
    database = await PostgresDatabase.open(url, BOTH, wait_s=60)
    await database.write(make_table)
    answered: list[str] = []
    refused: list[str] = []
    going_on = True

    async def consumer(number: int) -> None:
        turn = 0
        while going_on:
            turn += 1
            note = f"{number}-{turn}"
            try:
                answered.append(await database.write(add(note)))
            except StoreUnavailable:
                refused.append(note)

    consumers = [asyncio.create_task(consumer(number)) for number in range(16)]
    for _ in range(3):
        await asyncio.sleep(0.4)
        before = len(answered)
        await restart_later(own_server, kill=kill)
        while len(answered) < before + 50:
            await asyncio.sleep(0.01)
    going_on = False
    await asyncio.gather(*consumers)
    found = await database.read(notes)
    assert sorted(found) == sorted(answered)
    assert refused == []
    await database.close()


async def test_a_server_gone_for_good_is_told_in_bounded_time(own_server: PostgresServer) -> None:
    database = await PostgresDatabase.open(own_server.fresh(), BOTH, wait_s=1.0)
    await database.write(make_table)
    own_server.kill()
    with pytest.raises(StoreUnavailable, match="could not be written") as refused:
        async with asyncio.timeout(90):
            await database.write(add("never"))
    assert own_server.password not in repr(refused.value)
    with pytest.raises(StoreUnavailable, match="could not be read"):
        async with asyncio.timeout(90):
            await database.read(notes)
    async with asyncio.timeout(90):
        await database.close()
    own_server.start()
    own_server.wait()
    again = await PostgresDatabase.open(own_server.url("test_1"), BOTH)
    assert await again.read(notes) == []
    await again.close()


@asynccontextmanager
async def cutting(port: int, cut: list[bool]) -> AsyncIterator[int]:
    """A port that leads to ``port``, but ends a connection at the COMMIT for which ``cut``
    has an item: after the server has carried it out, if that is True, else before."""

    serving: set[asyncio.Task[None]] = set()

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        there, onwards = await asyncio.open_connection("127.0.0.1", port)
        returning = asyncio.create_task(pass_on(there, writer))
        try:
            while data := await reader.read(65536):
                if b"COMMIT" in data and cut:
                    returning.cancel()
                    if cut.pop():
                        onwards.write(data)
                        await asyncio.gather(returning, return_exceptions=True)
                        await there.read(65536)
                    break
                onwards.write(data)
        finally:
            returning.cancel()
            onwards.transport.abort()
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    async with asyncio.timeout(90):
        await asyncio.gather(*serving, return_exceptions=True)


@pytest.mark.parametrize("reached", [True, False])
async def test_a_commit_that_was_cut_off_is_found_out(
    postgres_url: str, postgres_server: PostgresServer, reached: bool
) -> None:
    """The connection ends just before, or just after, the server has carried out a COMMIT."""
    cut: list[bool] = []
    heard: list[str] = []
    acted: list[str] = []
    runs: list[str] = []

    def work(connection: Connection) -> str:
        runs.append("run")
        announce(connection, "note:1")
        after_commit(connection, lambda: acted.append("acted"))
        return add("one")(connection)

    async with cutting(postgres_server.port, cut) as port:
        url = postgres_url.replace(str(postgres_server.port), str(port))
        database = await PostgresDatabase.open(url, BOTH)
        database.hear(heard.append)
        await database.write(make_table)
        cut.append(reached)
        assert await database.write(work) == "one"
        assert cut == []
        assert runs == (["run"] if reached else ["run", "run"])
        assert await database.read(notes) == ["one"]
        assert acted == ["acted"]
        assert heard == ["note:1"]
        await database.close()


async def test_a_unit_that_broke_off_with_its_connection_is_run_again(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    database = await PostgresDatabase.open(postgres_url, BOTH)
    await database.write(make_table)
    name = postgres_url.rpartition("/")[2]
    broken: list[int] = []

    def work(connection: Connection) -> str:
        add("half")(connection)
        if not broken:
            broken.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            postgres_server.run(f"SELECT pg_terminate_backend({broken[0]})")
        return add("whole")(connection)

    assert await database.write(work) == "whole"
    assert sorted(await database.read(notes)) == ["half", "whole"]
    killing = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    postgres_server.run(killing)
    assert sorted(await database.read(notes)) == ["half", "whole"]
    await database.close()


async def test_listeners_are_told_that_they_may_have_missed_something(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    one = await PostgresDatabase.open(postgres_url, BOTH)
    other = await PostgresDatabase.open(postgres_url, BOTH)
    heard: list[str] = []
    missed = asyncio.Event()

    def listener(said: str) -> None:
        heard.append(said)
        if said == MISSED:
            missed.set()

    other.hear(listener)
    await one.write(lambda connection: announce(connection, "job:1"))
    async with asyncio.timeout(90):
        while heard != ["job:1"]:
            await asyncio.sleep(0.01)
        name = postgres_url.rpartition("/")[2]
        postgres_server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{name}' AND query LIKE 'LISTEN%'"
        )
        await missed.wait()
    await one.write(lambda connection: announce(connection, "job:2"))
    async with asyncio.timeout(90):
        while heard[-1] != "job:2":
            await asyncio.sleep(0.01)
    await one.close()
    await other.close()


async def test_of_two_databases_exactly_one_uses_a_nonce(postgres_url: str) -> None:
    both = [await PostgresDatabase.open(postgres_url, BOTH) for _ in range(2)]
    one, other = (Nonces(database) for database in both)
    for nonce in range(1, 101):
        outcomes = await asyncio.gather(
            *(each.spend("0xwallet", nonce) for each in (one, other, one, other)),
            return_exceptions=True,
        )
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, NonceTooLow) for outcome in outcomes) == 3
    for database in both:
        await database.close()


def test_of_two_processes_exactly_one_uses_a_nonce(postgres_url: str) -> None:
    words = [sys.executable, "-c", SPEND_ALL, postgres_url]
    pipe = subprocess.PIPE
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(words, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
            )
            for _ in range(2)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
        spent = [child.communicate("go\n", 60)[0].split() for child in children]
    assert sorted(int(nonce) for each in spent for nonce in each) == list(range(1, 101))


def test_a_frozen_process_does_not_hold_up_the_others(postgres_url: str) -> None:
    """It is stopped in the middle of a transaction; the server ends that in time."""
    frozen = subprocess.Popen(
        [sys.executable, "-c", STAND_STILL, postgres_url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )

    async def write() -> None:
        database = await PostgresDatabase.open(postgres_url, BOTH, wait_s=60)
        await database.write(lambda connection: announce(connection, "went:on"))
        await database.close()

    with frozen:
        assert frozen.stdout is not None
        assert frozen.stdout.readline() == "within\n"
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            asyncio.run(asyncio.wait_for(write(), 120))
        finally:
            os.kill(frozen.pid, signal.SIGKILL)


STAND_STILL = """
import asyncio, sys
from sqlalchemy.util import await_only
from compute.store.database import open_database
from provider.migrations import VERSIONS

def stand_still(connection):
    print("within", flush=True)
    await_only(asyncio.sleep(3600))

async def main():
    database = await open_database(sys.argv[1], migrations=[VERSIONS])
    await database.write(stand_still)

asyncio.run(main())
"""


async def test_a_server_that_does_not_flush_is_refused() -> None:
    if not postgres.is_installed():
        pytest.skip("no PostgreSQL server is installed (scripts/postgres.sh)")
    with (
        postgres.running(fsync="off") as server,
        pytest.raises(StoreUnavailable, match="fsync = on"),
    ):
        await PostgresDatabase.open(server.fresh(), BOTH)


async def test_a_wrong_password_is_told_at_once_and_not_shown(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    wrong = postgres_url.replace(postgres_server.password, "hunter2")
    told = r"\(DATABASE_URL\): the server refuses this user or password"
    with pytest.raises(StoreUnavailable, match=told) as refused:
        async with asyncio.timeout(90):
            await PostgresDatabase.open(wrong, BOTH)
    assert "hunter2" not in repr(refused.value)
    missing = postgres_server.url("nowhere")
    with pytest.raises(StoreUnavailable, match="no such database"):
        await PostgresDatabase.open(missing, BOTH)


async def test_a_password_that_was_not_escaped_is_told_at_once_and_not_shown() -> None:
    """The part behind its ``@`` would be the host otherwise."""
    with pytest.raises(StoreUnavailable, match="%40") as refused:
        await PostgresDatabase.open("postgresql://ocean:hun@ter2@127.0.0.1:1/ocean", BOTH)
    assert "ter2" not in repr(refused.value)


async def test_processes_that_start_at_once_upgrade_once(empty_postgres_url: str) -> None:
    opened = await asyncio.gather(
        *(PostgresDatabase.open(empty_postgres_url, BOTH) for _ in range(4))
    )
    for database in opened:
        assert await database.read(schema.current) == schema.heads(BOTH)
        await database.close()


async def test_a_statement_that_failed_unseen_is_no_success(postgres_url: str) -> None:
    """A unit that swallows an error has not written what came before it."""
    database = await PostgresDatabase.open(postgres_url, BOTH)
    await database.write(make_table)

    def careless(connection: Connection) -> str:
        add("one")(connection)
        with contextlib.suppress(Exception):
            add("one")(connection)
        return "fine"

    with pytest.raises(Exception, match="23505"):
        await database.write(careless)
    outcomes = await asyncio.gather(
        *(database.write(work) for work in (add("two"), careless, add("three"))),
        return_exceptions=True,
    )
    assert (outcomes[0], outcomes[2]) == ("two", "three")
    assert isinstance(outcomes[1], Exception)
    assert sorted(await database.read(notes)) == ["three", "two"]
    await database.close()


async def test_texts_that_the_server_refuses_are_no_fault(postgres_url: str) -> None:
    database = await PostgresDatabase.open(postgres_url, BOTH)
    await database.write(make_table)
    for strange in ("a\0b", "half \ud800", "\udc00\0"):
        assert await Nonces(database).last(strange) is None
        await database.write(add(strange))
    assert len(await database.read(notes)) == 3
    await database.close()
