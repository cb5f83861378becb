"""What is written when: with what it allows, for refusals within bounds, one chain for all."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from audit_samples import JOB, KEY, NOW, WALLET, stored, verified
from sqlalchemy import Connection

from compute.errors import MoveLost, StoreUnavailable
from compute.models import (
    AlgorithmItem,
    DatasetItem,
    Image,
    Job,
    JobSpec,
    ResultFile,
    StageRun,
    Termination,
)
from compute.status import Goal, Phase
from compute.store.base import Action, Database, Listener, T, Work, nothing
from compute.store.jobs import JobStore
from provider.auditing import asking as asking_module
from provider.auditing.asking import Asking, asking
from provider.auditing.trail import REFUSALS_OF_ALL, REFUSALS_OF_ONE, Trail, audited
from provider.auth.nonces import Nonces
from provider.errors import NonceTooLow

Values = dict[str, Any]


@pytest.fixture
def clock() -> list[float]:
    return [NOW]


@pytest.fixture
def trail(database: Database, clock: list[float]) -> Trail:
    return Trail(database, KEY, now=lambda: clock[0])


@pytest.fixture
def written(url: str) -> Callable[[], Awaitable[list[Values]]]:
    async def read() -> list[Values]:
        return [json.loads(record.body) for record in await stored(url)]

    return read


Written = Callable[[], Awaitable[list[Values]]]


def asked_by(actor: str = WALLET, kind: str = "start", address: str = "10.0.0.1") -> Asking:
    asked = Asking("r-1", address)
    asked.about(kind, JOB, environment="test")
    asked.actor = actor
    return asked


async def flushed(trail: Trail, written: Written) -> list[Values]:
    """What the writer in the background has written, once there is something."""
    writing = asyncio.create_task(trail.run())
    async with asyncio.timeout(10):
        while not (found := await written()):
            await asyncio.sleep(0.005)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    return found


async def test_what_is_allowed_and_its_record_are_one(
    trail: Trail, database: Database, written: Written
) -> None:
    nonces = Nonces(database)
    asked = asking()
    asked.about("start", JOB, environment="test")
    asked.actor = WALLET
    await trail.write(nonces.consume(WALLET, 5))
    with pytest.raises(NonceTooLow):
        await trail.write(nonces.consume(WALLET, 5))
    [record] = await written()
    assert record["kind"] == "start"
    assert record["actor"] == WALLET
    assert record["decision"] == "allowed"
    assert record["job"] == JOB
    assert record["details"] == {"environment": "test"}
    assert await nonces.last(WALLET) == 5


async def test_many_that_are_allowed_at_once_have_a_record_each(
    trail: Trail, database: Database, written: Written
) -> None:
    nonces = Nonces(database)
    asking().about("result", JOB)
    wallets = [f"0x{number:040x}" for number in range(20)]

    async def ask(wallet: str) -> None:
        asking().actor = wallet
        await trail.write(nonces.consume(wallet, 5))

    twice = await asyncio.gather(*map(ask, wallets + wallets), return_exceptions=True)
    assert [type(each) for each in twice] == [type(None)] * 20 + [NonceTooLow] * 20
    records = await written()
    assert [record["actor"] for record in records] == wallets
    first, *others = (record["sequence"] for record in records)
    assert others == list(range(first + 1, first + 20))


async def test_one_record_for_each_job_that_it_is_about(trail: Trail, written: Written) -> None:
    asking().about("stop", "0" * 32, "1" * 32)
    await trail.write(nothing)
    assert [record["job"] for record in await written()] == ["0" * 32, "1" * 32]


async def test_facts_of_another_question_are_forgotten() -> None:
    asked = Asking()
    asked.about("start", JOB, environment="test")
    asked.about("start", index=1)
    assert (asked.jobs, asked.details) == ((JOB,), {"environment": "test", "index": 1})
    asked.about("stop")
    assert (asked.jobs, asked.details) == ((), {})


async def test_requests_do_not_see_each_other() -> None:
    async def request(number: int) -> str:
        token = asking_module.begin(f"r-{number}", "")
        await asyncio.sleep(0)
        asking().about("start", f"{number}")
        await asyncio.sleep(0)
        found = f"{asking().request} {asking().jobs[0]}"
        asking_module.end(token)
        return found

    found = await asyncio.gather(*(asyncio.create_task(request(n)) for n in range(5)))
    assert found == [f"r-{n} {n}" for n in range(5)]


async def test_many_writers_make_one_chain(database: Database, url: str) -> None:
    """Two trails, as two processes have them, and units that fail in between."""
    trails = [Trail(database, KEY, now=lambda: NOW) for _ in range(2)]

    def fails(connection: Connection) -> None:
        raise RuntimeError("not this one")

    async def write(number: int) -> None:
        asking().about("start", f"{number:032x}")
        work: Work[None] = fails if number % 3 == 0 else nothing
        await trails[number % 2].write(work)

    tasks = (asyncio.create_task(write(number)) for number in range(300))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(each, RuntimeError) for each in outcomes) == 100
    found = await stored(url)
    assert len(found) == 200
    assert verified(found[1:], whole=False).sound
    assert {record.job for record in found} == {f"{n:032x}" for n in range(300) if n % 3}


async def test_a_proven_refusal_has_a_record(trail: Trail, written: Written) -> None:
    trail.refused(asked_by(), "POST /start", "NotAllowed", "This wallet may not.", 403)
    [record] = await flushed(trail, written)
    assert (record["kind"], record["decision"], record["actor"]) == ("start", "refused", WALLET)
    assert (record["reason"], record["text"]) == ("NotAllowed", "This wallet may not.")
    assert record["details"] == {"environment": "test", "status": 403}
    assert "address" not in record


async def test_addresses_are_kept_where_the_operator_wants_it(
    database: Database, written: Written
) -> None:
    trail = Trail(database, KEY, now=lambda: NOW, addresses=True)
    trail.refused(asked_by(), "POST /start", "NotAllowed", "", 403)
    [record] = await flushed(trail, written)
    assert record["address"] == "10.0.0.1"


async def test_a_flood_of_refusals_is_bounded(trail: Trail, written: Written) -> None:
    """Of strangers, of one wallet, of many wallets: a few records, and all are counted."""
    for _ in range(5000):
        trail.refused(asked_by(""), "POST /start", "SignatureWrong", "", 400)
    for _ in range(5000):
        trail.refused(asked_by(), "POST /start", "NonceTooLow", "", 400)
    for number in range(5000):
        trail.refused(asked_by(f"0x{number:040x}"), "POST /start", "NotAllowed", "", 403)
    for number in range(5000):
        trail.refused(Asking(), f"GET /{number}", "HTTPNotFound", "", 404)
    await trail.end()
    records = await written()
    alone = [record for record in records if record["kind"] == "start"]
    assert len(alone) == REFUSALS_OF_ALL
    assert sum(record["actor"] == WALLET for record in alone) == REFUSALS_OF_ONE
    counted: Values = {}
    for record in records:
        if record["kind"] == "counted":
            assert record["details"]["how"] == "refused"
            counted |= record["details"]["counts"]
    assert sum(counted.values()) == 20_000 - REFUSALS_OF_ALL
    assert counted["start SignatureWrong"] == 5000
    assert counted["start NonceTooLow"] == 5000 - REFUSALS_OF_ONE
    assert len(counted) <= 201
    assert len(records) < 80


async def test_refused_questions_are_only_counted(trail: Trail, written: Written) -> None:
    trail.refused(asked_by(kind="status"), "GET /status", "NonceTooLow", "", 400)
    trail.count("encrypt")
    await trail.end()
    counted = [each["details"] for each in await written() if each["kind"] == "counted"]
    assert counted == [
        {"how": "refused", "counts": {"status NonceTooLow": 1}},
        {"how": "served", "counts": {"encrypt": 1}},
    ]


async def test_reading_the_same_again_is_told_once_an_hour(
    trail: Trail, clock: list[float], written: Written, job: Job
) -> None:
    asking().actor = "aaas:lab"
    for _ in range(3):
        await trail.shown("log", [job])
    await trail.shown("output", [job])
    asking().actor = "aaas:other"
    await trail.shown("log", [job])
    clock[0] += 3601
    await trail.shown("log", [job])
    assert [(record["kind"], record["actor"]) for record in await written()] == [
        ("log", "aaas:lab"),
        ("output", "aaas:lab"),
        ("log", "aaas:other"),
        ("log", "aaas:other"),
    ]


async def test_each_whole_result_is_told(trail: Trail, written: Written, job: Job) -> None:
    for _ in range(2):
        await trail.shown("result", [job])
    assert len(await written()) == 2


async def test_a_start_and_an_end_are_signed_and_logged(
    database: Database, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "provider")
    for _ in range(2):
        async with audited(Trail(database, KEY, now=lambda: NOW), {"version": "1"}) as trail:
            asking().about("start", JOB)
            await trail.write(nothing)
    found = await stored(url)
    assert verified(found).sound
    assert len(found) == 10
    told = [record.getMessage() for record in caplog.records if record.name.endswith(".chain")]
    heads = [re.fullmatch(r"audit_head sequence=(\d+) hash=([0-9a-f]{64})", each) for each in told]
    kept = {int(head[1]): head[2] for head in heads if head}
    assert list(kept) == [1, 4, 6, 9]
    assert verified(found, kept=kept).sound


class Failing(Database):
    """Cannot be written as long as ``full``."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.full = True

    @property
    def shared(self) -> bool:
        return self._inner.shared

    def hear(self, listener: Listener) -> Action:
        return self._inner.hear(listener)

    async def write(self, work: Work[T]) -> T:
        if self.full:
            raise StoreUnavailable("The database could not be written: disk full.")
        return await self._inner.write(work)

    async def read(self, work: Work[T]) -> T:
        return await self._inner.read(work)

    async def close(self) -> None:
        await self._inner.close()


async def test_refusals_wait_for_a_database_that_is_full(
    database: Database, written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(database)
    trail = Trail(failing, KEY, now=lambda: NOW)
    trail.refused(asked_by(), "POST /start", "NotAllowed", "", 403)
    writing = asyncio.create_task(trail.run())
    while "audit_waits records=1" not in caplog.text:
        await asyncio.sleep(0.005)
    with pytest.raises(StoreUnavailable):
        await trail.write(nothing)
    assert await written() == []
    failing.full = False
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await trail.end()
    assert [record["kind"] for record in await written()] == ["start", "service_stopped", "head"]


# what the operator does by itself


@pytest.fixture
def job() -> Job:
    algorithm = AlgorithmItem(image=Image(image="python", tag="3"), entrypoint="python $ALGO")
    datasets = (DatasetItem(did="did:op:d1", service_id="compute"),)
    spec = JobSpec.model_validate(
        {"datasets": datasets, "algorithm": algorithm, "max_duration_s": 60}
    )
    return Job(JOB, WALLET, "test", spec, created_at=NOW)


async def test_the_end_of_a_job_is_in_its_transaction(
    trail: Trail, database: Database, job: Job, written: Written
) -> None:
    store = JobStore(database, witness=trail.witness)
    job = await store.insert(job, queue_limit=1)
    job = await store.move(job, Phase.STARTED, now=NOW)
    job = await store.move(job, Phase.IMAGE_FAILED, now=NOW)
    assert [record["kind"] for record in await written()] == ["job_ended"]
    with pytest.raises(MoveLost):
        await store.move(replace(job, phase=Phase.QUEUED), Phase.EXPIRED, now=NOW)
    job = await store.note(job, now=NOW, expires_at=NOW - 1)
    await store.wish(job.id, Goal.DELETE, now=NOW)
    await store.move(job, Phase.DELETED, now=NOW)
    ended, deleted = await written()
    assert (ended["actor"], ended["decision"], ended["job"]) == ("service", "done", JOB)
    assert ended["reason"] == "image_failed"
    assert ended["details"] == {
        "owner": WALLET,
        "environment": "test",
        "status": 11,
        "results": 0,
        "resultsSha256": "",
        "images": [],
        "dids": ["did:op:d1"],
        "algorithm": "raw",
    }
    assert (deleted["kind"], deleted["details"]["status"]) == ("job_deleted", 8)
    assert deleted["details"]["expired"] is True


async def test_a_witness_who_fails_takes_the_move_back(database: Database, job: Job) -> None:
    def refuses(connection: Connection, ended: Job) -> None:
        raise StoreUnavailable("The database could not be written: disk full.")

    store = JobStore(database, witness=refuses)
    await store.insert(job, queue_limit=1)
    with pytest.raises(StoreUnavailable):
        await store.move(job, Phase.EXPIRED, now=NOW)
    assert (await JobStore(database).get(JOB)).phase is Phase.QUEUED


async def test_results_are_told_by_their_digest_alone(
    trail: Trail, database: Database, job: Job, written: Written
) -> None:
    files = (ResultFile(0, "patients of Dr X.csv", 5, "ab" * 32, "output"),)
    ended = replace(
        job,
        phase=Phase.COMPLETED,
        results=files,
        image_id="sha256:1",
        runs=(StageRun("algorithm", "sha256:1", 1.0, 2.0, 0),),
        termination=Termination(Phase.COMPLETED, "exit_code", exit_code=0),
    )
    await database.write(lambda connection: trail.witness(connection, ended))
    [record] = await written()
    assert "patients" not in json.dumps(record)
    assert record["details"]["results"] == 1
    assert record["details"]["images"] == ["sha256:1"], "each of them once"
    assert len(record["details"]["resultsSha256"]) == 64
    assert (record["details"]["exitCode"], record["reason"]) == (0, "exit_code")


def test_a_file_that_is_not_there_has_no_digest(tmp_path: Path) -> None:
    from provider.auditing.facts import digest_of

    (tmp_path / "a").write_bytes(b"x")
    assert digest_of(tmp_path / "missing") == digest_of(None) == ""
    assert digest_of(tmp_path / "a").startswith("2d711642")
