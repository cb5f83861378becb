"""What was backed up comes back, in a database of either kind, or nothing is changed."""

from __future__ import annotations

import asyncio
import gzip
import json
import stat
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from job_factory import MakeJob
from sqlalchemy import Connection, text
from support.postgres import PostgresServer

from compute.errors import NameTaken, StoreUnavailable
from compute.models import Termination
from compute.status import Phase
from compute.store import archive, backup, schema
from compute.store.archive import ArchiveInvalid
from compute.store.base import Database
from compute.store.database import open_database
from compute.store.jobs import JobStore
from provider.auth.nonces import Nonces
from provider.auth.texts import SignedText
from provider.errors import NonceTooLow
from provider.migrations import VERSIONS

FLOORS = [VERSIONS]
BOTH = (schema.VERSIONS, VERSIONS)
OWNER = "0xabcdef0000000000000000000000000000000001"

MakeUrl = Callable[[str], str]


@pytest.fixture
def make_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeUrl]:
    """A new database without a table, of a kind."""
    made: list[str] = []
    numbers = count(1)

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{next(numbers)}.db"
        server: PostgresServer = request.getfixturevalue("postgres_server")
        made.append(server.fresh())
        return made[-1]

    yield make
    for url in made:
        request.getfixturevalue("postgres_server").drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, make_url: MakeUrl) -> str:
    return make_url(request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def other_url(request: pytest.FixtureRequest, make_url: MakeUrl) -> str:
    return make_url(request.param)


async def fill(url: str, make_job: MakeJob) -> Database:
    """A finished job, one that is under way, one of a name, used nonces, a bound text."""
    database = await open_database(url, migrations=FLOORS)
    store, nonces = JobStore(database), Nonces(database)
    finished = await store.insert(make_job(id="finished"), queue_limit=10)
    ending = Termination(Phase.ALGORITHM_FAILED, "too long \0 \ud800", exit_code=3)
    await store.move(finished, Phase.STOPPED, now=2000.5, termination=ending)
    await store.insert(make_job(id="waiting", dids=("did:op:1", "did:op:2")), queue_limit=10)
    await store.insert(make_job(id="named", namespace="lab/-", name="Über"), queue_limit=10)
    await nonces.spend(OWNER, 77)
    await nonces.spend(OWNER, 100, SignedText(b"\x00\xff" * 16, 9999))
    return database


async def require_all(database: Database, make_job: MakeJob) -> None:
    store, nonces = JobStore(database), Nonces(database)
    finished = await store.get("finished")
    assert finished.phase is Phase.STOPPED
    assert finished.finished_at == 2000.5
    assert finished.termination is not None
    assert finished.termination.reason == "too long \0 \ud800"
    assert [move.phase for move in await store.history("finished")] == [
        Phase.QUEUED,
        Phase.STOPPED,
    ]
    assert {job.id for job in await store.find(did="did:op:2")} == {"waiting"}
    assert (await store.named("lab/-", "Über")).id == "named"
    with pytest.raises(NameTaken):
        await store.insert(make_job(namespace="lab/-", name="Über"), queue_limit=10)
    with pytest.raises(NonceTooLow):
        await nonces.spend(OWNER, 100)
    assert await nonces.require_unbound(OWNER, 100, SignedText(b"\x00\xff" * 16, 9999))
    await nonces.spend(OWNER, 101)
    newest = await store.insert(make_job(id="newest"), queue_limit=10)
    assert [job.id for job in await store.find(owner=newest.owner)] == [
        "newest",
        "named",
        "waiting",
        "finished",
    ]


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def content(connection: Connection) -> dict[str, list[Any]]:
    tables = archive.reflected(connection, archive.names_of_tables(BOTH))
    return {
        table.name: sorted(map(repr, map(tuple, connection.execute(table.select()))))
        for table in tables
    }


async def test_a_backup_comes_back_in_a_database_of_any_kind(
    url: str, other_url: str, tmp_path: Path, make_job: MakeJob
) -> None:
    database = await fill(url, make_job)
    path = tmp_path / "backup"
    rows = await backup.backup(url, FLOORS, path)
    before = await database.read(content)
    await database.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert rows == sum(map(len, before.values()))
    header, restored = await backup.restore(other_url, FLOORS, path)
    assert restored == rows
    assert header.revisions == schema.heads(BOTH)
    again = await open_database(other_url, migrations=FLOORS)
    assert await again.read(content) == before
    await require_all(again, make_job)
    await again.close()


async def test_a_backup_is_of_one_moment_while_the_service_writes(
    url: str, other_url: str, tmp_path: Path, make_job: MakeJob
) -> None:
    database = await fill(url, make_job)
    store, nonces = JobStore(database), Nonces(database)
    going_on = True

    async def consume() -> None:
        nonce = 1000
        while going_on:
            nonce += 1
            job = make_job(id=f"job-of-{nonce}", owner="0xother")
            await store.insert(job, queue_limit=10**6, also=nonces.consume("0xother", nonce))

    consuming = asyncio.create_task(consume())
    while not await nonces.last("0xother"):
        await asyncio.sleep(0)
    # As in a process of its own: another loop.
    await asyncio.to_thread(asyncio.run, backup.backup(url, FLOORS, tmp_path / "a"))
    going_on = False
    await consuming
    await database.close()
    await backup.restore(other_url, FLOORS, tmp_path / "a")
    again = await open_database(other_url, migrations=FLOORS)
    jobs = await JobStore(again).find(owner="0xother", limit=10**6)
    assert len(jobs) == (await Nonces(again).last("0xother") or 0) - 1000
    await again.close()


async def test_nothing_is_restored_while_the_database_is_in_use(
    url: str, tmp_path: Path, make_job: MakeJob
) -> None:
    database = await fill(url, make_job)
    path = tmp_path / "backup"
    await backup.backup(url, FLOORS, path)
    with pytest.raises(StoreUnavailable, match="in use"):
        await backup.restore(url, FLOORS, path, replace=True)
    await require_all(database, make_job)
    await database.close()


async def test_data_is_replaced_only_when_that_is_meant(
    url: str, tmp_path: Path, make_job: MakeJob
) -> None:
    database = await fill(url, make_job)
    path = tmp_path / "backup"
    await backup.backup(url, FLOORS, path)
    await JobStore(database).insert(make_job(id="later"), queue_limit=10)
    await database.close()
    with pytest.raises(StoreUnavailable, match="holds data already"):
        await backup.restore(url, FLOORS, path)
    await backup.restore(url, FLOORS, path, replace=True)
    again = await open_database(url, migrations=FLOORS)
    await require_all(again, make_job)
    assert "later" not in {job.id for job in await JobStore(again).find()}
    await again.close()


def cut(lines: list[Any]) -> list[Any]:
    return lines[:-1]


def change_a_value(lines: list[Any]) -> list[Any]:
    at = next(n for n, line in enumerate(lines) if isinstance(line, list) and "waiting" in line)
    changed = ["paused" if value == "waiting" else value for value in lines[at]]
    return [*lines[:at], changed, *lines[at + 1 :]]


def leave_a_row_out(lines: list[Any]) -> list[Any]:
    return [*lines[:-2], lines[-1]]


def add_a_step(lines: list[Any]) -> list[Any]:
    return [lines[0] | {"revisions": [*lines[0]["revisions"], "c9999"]}, *lines[1:]]


def name_a_foreign_table(lines: list[Any]) -> list[Any]:
    return [lines[0] | {"tables": lines[0]["tables"] | {"users": ["name"]}}, *lines[1:]]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut, "cut off"),
        (change_a_value, "checksum"),
        (leave_a_row_out, "checksum"),
        (add_a_step, "c9999.*newer version"),
        (name_a_foreign_table, "users"),
        (lambda lines: [lines[0] | {"version": 2}, *lines[1:]], "format 2"),
        (lambda lines: [{"format": "letter"}], "no backup"),
        (lambda lines: [lines[0], [999, "x"], *lines[1:]], "damaged"),
        (lambda lines: [], "cut off"),
    ],
)
async def test_a_spoilt_backup_changes_nothing(
    url: str,
    tmp_path: Path,
    make_job: MakeJob,
    spoil: Callable[[list[Any]], list[Any]],
    reason: str,
) -> None:
    database = await fill(url, make_job)
    path = tmp_path / "backup"
    await backup.backup(url, FLOORS, path)
    before = await database.read(content)
    await database.close()
    lines = spoil(lines_of(path))
    texts = [json.dumps(line, separators=(",", ":")) + "\n" for line in lines]
    path.write_bytes(gzip.compress("".join(texts).encode()))
    with pytest.raises(ArchiveInvalid, match=reason):
        await backup.restore(url, FLOORS, path, replace=True)
    again = await open_database(url, migrations=FLOORS)
    assert await again.read(content) == before
    await again.close()


@pytest.mark.parametrize("spoilt", [b"a letter to somebody", b"\x1f\x8b\x08cut"])
async def test_another_file_is_no_backup(make_url: MakeUrl, tmp_path: Path, spoilt: bytes) -> None:
    path = tmp_path / "backup"
    path.write_bytes(spoilt)
    with pytest.raises(ArchiveInvalid):
        await backup.restore(make_url("sqlite"), FLOORS, path)
    with pytest.raises(FileNotFoundError):
        await backup.restore(make_url("sqlite"), FLOORS, tmp_path / "nowhere")


async def test_a_backup_overwrites_nothing_and_leaves_nothing_half_done(
    make_url: MakeUrl, tmp_path: Path, make_job: MakeJob
) -> None:
    url = make_url("sqlite")
    await (await fill(url, make_job)).close()
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "there").write_text("kept")
    with pytest.raises(FileExistsError):
        await backup.backup(url, FLOORS, folder / "there")
    with pytest.raises(StoreUnavailable, match="no such file"):
        await backup.backup(f"sqlite:///{tmp_path}/nowhere.db", FLOORS, folder / "new")
    assert [path.name for path in folder.iterdir()] == ["there"]
    assert (folder / "there").read_text() == "kept"
    assert not (tmp_path / "nowhere.db").exists()


async def test_a_backup_of_an_older_schema_is_brought_up_to_date(
    url: str, other_url: str, tmp_path: Path
) -> None:
    """As the first version made it, row by row."""

    def first_schema(connection: Connection) -> None:
        schema.make(connection, BOTH, {"c0001", "p0001"})
        for statement in FIRST_ROWS:
            connection.execute(text(statement))

    await backup._replacing(url, first_schema)
    await backup.backup(url, FLOORS, tmp_path / "old")
    header, _ = await backup.restore(other_url, FLOORS, tmp_path / "old")
    assert header.revisions == {"c0001", "p0001"}
    for each in (url, other_url):
        # The first is upgraded in its place, the other was by the restore.
        database = await open_database(each, migrations=FLOORS)
        assert await database.read(schema.current) == schema.heads(BOTH)
        job = await JobStore(database).get("old-job")
        assert (job.phase, job.owner, job.namespace, job.stage) == (Phase.COMPLETED, "0xOld", "", 0)
        assert job.spec.algorithm.image.image == "python"
        assert [move.phase for move in await JobStore(database).history("old-job")] == [job.phase]
        assert [found.id for found in await JobStore(database).find(did="did:op:old")] == [job.id]
        assert await Nonces(database).last("0xold") == 41
        with pytest.raises(NonceTooLow):
            await Nonces(database).spend("0xold", 41)
        await database.close()


_SPEC = json.dumps(
    {
        "datasets": [{"did": "did:op:old", "service_id": "s"}],
        "algorithm": {
            "image": {"image": "python", "tag": "3.11"},
            "entrypoint": "python $ALGO",
        },
        "max_duration_s": 60,
    },
    separators=(",", ":"),
).replace(":", r"\:")

FIRST_ROWS = (
    "INSERT INTO jobs (sequence, id, owner, owner_key, environment, phase, goal, revision,"
    " created_at, attempts, retry_at, image_id, finished_at) VALUES (1, 'old-job', '0xOld',"
    " '0xold', 'small', 'completed', 'run', 7, 1000.5, 0, 0, '', 1100)",
    f"INSERT INTO job_specs (job, spec) VALUES (1, '{_SPEC}')",
    r"INSERT INTO job_assets (did, job) VALUES ('did\:op\:old', 1)",
    "INSERT INTO job_history (line, job, at, phase, goal, note)"
    " VALUES (1, 1, 1100, 'completed', 'run', '')",
    "INSERT INTO nonces (address, nonce) VALUES ('0xold', 41)",
    "INSERT INTO revoked_tokens (jti, expires_at) VALUES ('token', 1e12)",
)
