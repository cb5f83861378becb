"""Three processes that serve and two that operate, over one PostgreSQL server.

One operator is killed and the server is restarted in the middle of 200 jobs. All end as they
should, no container is started twice, nothing is left over, and any process tells and hands
out what any other has done.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from support.consumer import TERMINAL, Consumer, Json, raw
from support.postgres import PostgresServer, is_installed, running
from support.service import DATASET, Service

from compute.engines.base import JOB_LABEL, OPERATOR_LABEL

pytestmark = pytest.mark.docker

JOBS = 200
WALLETS = 8
AT_ONCE = 10
PATIENCE_S = 400
KILL_AFTER = 40
RESTART_AFTER = 90

WORKS = "cat /data/inputs/*/0 > /data/outputs/rows; echo told"
FAILS = "exit 3"
SLEEPS = "sleep 600"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of the test's own, to be taken down."""
    if not is_installed():
        pytest.skip("no PostgreSQL server is installed (scripts/postgres.sh)")
    with running() as own:
        yield own


@dataclass
class Installation:
    """Several processes with one database, one data folder, one engine."""

    service: Service
    urls: list[str]
    serves: list[subprocess.Popen[bytes]]
    operators: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def operate(self) -> subprocess.Popen[bytes]:
        process = self.service.spawn("operate")
        self.operators.append(process)
        return process

    def end(self) -> list[int]:
        """SIGTERM to all that live; their exit codes."""
        living = [each for each in (*self.serves, *self.operators) if each.poll() is None]
        for process in living:
            process.terminate()
        return [process.wait(120) for process in living] + [self.service.stop()]


@pytest_asyncio.fixture
async def installation(server: PostgresServer, service: Service) -> AsyncIterator[Installation]:
    service.environments({"cpu": 0.5, "maxJobs": 6, "maxQueue": 1000, "maxQueuePerConsumer": 1000})
    await service.start(
        DATABASE_URL=server.fresh(), OPERATE="false", PUBLIC_URL="http://provider.example"
    )
    found = Installation(service, [service.url], [])
    try:
        for _ in range(2):
            url, process = await service.another()
            found.urls.append(url)
            found.serves.append(process)
        yield found
    finally:
        found.end()
        service.sweep()


@contextmanager
def starts_told(folder: Path, operator_id: str) -> Iterator[Path]:
    """A file with the job of each container that the engine starts meanwhile, line by line."""
    told = folder / "starts"
    words = ["docker", "events", "--filter", f"label={OPERATOR_LABEL}={operator_id}"]
    words += ["--filter", "event=start", "--format"]
    words += [f'{{{{index .Actor.Attributes "{JOB_LABEL}"}}}}']
    with told.open("wb") as out, subprocess.Popen(words, stdout=out) as process:
        try:
            yield told
        finally:
            process.terminate()


class Crowd:
    """Wallets, each a consumer at every `serve` process, and the jobs that they have."""

    def __init__(self, wallets: list[list[Consumer]], checksum: str) -> None:
        self.wallets = wallets
        self.wanted: dict[str, int] = {}
        self.owner: dict[str, list[Consumer]] = {}
        self._checksum = checksum
        self._turn = [asyncio.Lock() for _ in range(WALLETS)]
        self._turns = itertools.count()

    async def start_all(self) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with turns:
                await self._start(number)

        await asyncio.gather(*(one(number) for number in range(JOBS)))

    async def _start(self, number: int) -> None:
        wallet = self.wallets[number % WALLETS]
        code, status = WORKS, 70
        if number % 10 == 3:
            code, status = FAILS, 41
        elif number % 20 == 7:
            code, status = SLEEPS, 7
        # Nonces of one wallet must arrive in their order.
        async with self._turn[number % WALLETS]:
            job = await self._any(wallet).start(raw(code, checksum=self._checksum), [DATASET])
        self.wanted[job["jobId"]], self.owner[job["jobId"]] = status, wallet
        if status == 7:
            await asyncio.sleep(number % 5)
            async with self._turn[number % WALLETS]:
                await self._any(wallet).stop(job["jobId"])

    async def statuses(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for wallet in self.wallets:
            asked = self._any(wallet)
            params = {"consumerAddress": asked.address}
            listed: list[Json] = await asked.call("GET", "/api/services/compute", params=params)
            found |= {job["jobId"]: job["status"] for job in listed}
        return found

    async def until_ended(self, number: int) -> dict[str, int]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                statuses = await self.statuses()
                if sum(status in TERMINAL for status in statuses.values()) >= number:
                    return statuses
                await asyncio.sleep(0.25)

    def _any(self, wallet: list[Consumer]) -> Consumer:
        return wallet[next(self._turns) % len(wallet)]


async def test_200_jobs_survive_a_killed_operator_and_a_database_that_restarts(
    installation: Installation, server: PostgresServer, tmp_path: Path, checksum: str
) -> None:
    service = installation.service
    victim, survivor = installation.operate(), installation.operate()
    async with AsyncExitStack() as stack:
        told = stack.enter_context(starts_told(tmp_path, service.operator_id()))
        crowd = Crowd([], checksum)
        for _ in range(WALLETS):
            first = await stack.enter_async_context(Consumer(installation.urls[0]))
            others = [Consumer(url, first.account) for url in installation.urls[1:]]
            crowd.wallets.append(
                [first, *[await stack.enter_async_context(other) for other in others]]
            )
        starting = asyncio.create_task(crowd.start_all())
        await crowd.until_ended(KILL_AFTER)
        victim.kill()
        await crowd.until_ended(RESTART_AFTER)
        await asyncio.to_thread(_crash_and_return, server)
        await starting
        statuses = await crowd.until_ended(JOBS)

        assert len(crowd.wanted) == JOBS
        assert statuses == crowd.wanted, service.log()
        for job_id in list(crowd.wanted)[::25]:
            await _same_everywhere(crowd, job_id)
    starts = Counter(told.read_text().split())
    assert set(starts.values()) == {1}
    ran = {job_id for job_id, status in crowd.wanted.items() if status != 7}
    assert ran <= set(starts) <= set(crowd.wanted)
    assert survivor.poll() is None
    assert set(installation.end()) == {0}, service.log()
    assert service.leftovers() == []
    assert "Traceback" not in service.log(), service.log()


def _crash_and_return(server: PostgresServer) -> None:
    server.kill()
    server.start()
    server.wait()


async def _same_everywhere(crowd: Crowd, job_id: str) -> None:
    """Every process tells the same of the job, and hands out the same results."""
    wallet = crowd.owner[job_id]
    told = [await consumer.status(job_id) for consumer in wallet]
    assert told[0] == told[1] == told[2]
    if told[0]["status"] == 70:
        files = [await consumer.files(told[0]) for consumer in wallet]
        assert files[0] == files[1] == files[2]
        assert b"1,2" in files[0]["rows"]
