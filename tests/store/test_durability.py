"""What was answered is there after SIGKILL, whatever the process was doing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from compute.status import Phase
from compute.store.database import open_database
from compute.store.jobs import JobStore
from provider.auth.nonces import Nonces
from provider.errors import NonceTooLow
from provider.migrations import VERSIONS

ROOT = Path(__file__).parents[2]

ANSWER_UNTIL_KILLED = """
import asyncio, sys
from compute.models import AlgorithmItem, Image, Job, JobSpec
from compute.status import Phase
from compute.store.database import open_database
from compute.store.jobs import JobStore
from provider.auth.nonces import Nonces
from provider.migrations import VERSIONS

SPEC = JobSpec(
    datasets=(), algorithm=AlgorithmItem(image=Image(image="i"), entrypoint="e"), max_duration_s=1
)

async def main():
    database = await open_database(sys.argv[1], migrations=[VERSIONS])
    store, nonces = JobStore(database), Nonces(database)

    async def consumer(number):
        for nonce in range(1, 1_000_000):
            job = Job(f"{number}-{nonce}", f"0x{number}", "small", SPEC, 1.0)
            spent = nonces.consume(f"0x{number}", nonce)
            await store.insert(job, queue_limit=10**9, also=spent)
            print("accepted", number, nonce, flush=True)
            await store.move(job, Phase.STOPPED, now=2.0)
            print("stopped", number, nonce, flush=True)

    await asyncio.gather(*(consumer(number) for number in range(8)))

asyncio.run(main())
"""

FILL_THE_DISK = """
import asyncio, resource, sys
from pathlib import Path
from compute.errors import StoreUnavailable
from compute.store.database import open_database
from provider.auth.nonces import Nonces
from provider.migrations import VERSIONS

def largest_file(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    database = await open_database(f"sqlite:///{sys.argv[1]}", migrations=[VERSIONS])
    nonces = Nonces(database)
    await nonces.spend("first", 1)
    largest_file(Path(sys.argv[1] + "-wal").stat().st_size + 40_000)

    async def spend(number):
        try:
            await nonces.spend(f"wallet-{number}", 1)
        except StoreUnavailable as error:
            print("refused", number, error, flush=True)
        else:
            print("accepted", number, flush=True)

    for start in range(0, 400, 8):
        await asyncio.gather(*(spend(number) for number in range(start, start + 8)))
    largest_file(resource.RLIM_INFINITY)
    await nonces.spend("last", 1)
    print("accepted last", flush=True)
    await database.close()

asyncio.run(main())
"""


def answers_before_kill(url: str, enough: int) -> list[tuple[str, str, int]]:
    child = subprocess.Popen(
        [sys.executable, "-c", ANSWER_UNTIL_KILLED, url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(enough)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    complete = [line.split() for line in lines if line.endswith("\n")]
    return [(what, number, int(nonce)) for what, number, nonce in complete]


async def test_every_answer_survives_a_kill(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    answers = answers_before_kill(url, 400)
    database = await open_database(url, migrations=[VERSIONS])
    store, nonces = JobStore(database), Nonces(database)
    assert len(answers) >= 400
    for what, number, nonce in answers:
        job = await store.get(f"{number}-{nonce}")
        if what == "stopped":
            assert job.phase is Phase.STOPPED
        with pytest.raises(NonceTooLow):
            await nonces.spend(f"0x{number}", nonce)
    await database.close()


async def test_jobs_and_nonces_agree_after_a_kill(tmp_path: Path) -> None:
    """Each wallet has exactly as many jobs as the nonce it has come to."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    answers_before_kill(url, 300)
    database = await open_database(url, migrations=[VERSIONS])
    store, nonces = JobStore(database), Nonces(database)
    for number in range(8):
        jobs = await store.find(owner=f"0x{number}", limit=1_000_000)
        assert len(jobs) == await nonces.last(f"0x{number}")
    await database.close()


async def test_a_commit_that_the_disk_refuses_is_no_answer(tmp_path: Path) -> None:
    """The kernel refuses to let the log grow; later it lets it again."""
    file = tmp_path / "jobs.db"
    told = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(file)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.splitlines()
    accepted = {line.split()[1] for line in told if line.startswith("accepted")}
    refused = {line.split()[1] for line in told if line.startswith("refused")}
    assert len(accepted) > 1
    assert len(refused) > 100
    assert "last" in accepted
    database = await open_database(f"sqlite:///{file}", migrations=[VERSIONS])
    nonces = Nonces(database)
    for number in range(400):
        expected = 1 if str(number) in accepted else None
        assert await nonces.last(f"wallet-{number}") == expected
    await database.close()
