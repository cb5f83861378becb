"""An order carries one unfinished job, whichever processes are asked to start one with it."""

from __future__ import annotations

import asyncio
import uuid

from support.sharing import Process

from compute.errors import HoldTaken
from compute.models import AlgorithmItem, Image, Job, JobSpec
from compute.store.jobs import JobStore

ORDER = "8996:0x" + "0d" * 32
OWNER = "0x" + "ab" * 20


def a_job() -> Job:
    algorithm = AlgorithmItem(image=Image(image="python"), entrypoint="python $ALGO")
    return Job(
        id=uuid.uuid4().hex,
        owner=OWNER,
        environment="test",
        spec=JobSpec(datasets=(), algorithm=algorithm, max_duration_s=60, holds=(ORDER,)),
        created_at=1000.0,
    )


async def test_an_order_is_used_once(here: Process, there: Process) -> None:
    stores = [JobStore(here), JobStore(there)]
    outcomes = await asyncio.gather(
        *(stores[number % 2].insert(a_job(), queue_limit=20) for number in range(10)),
        return_exceptions=True,
    )
    jobs = [each for each in outcomes if isinstance(each, Job)]
    assert len(jobs) == 1
    assert sum(isinstance(each, HoldTaken) for each in outcomes) == 9
    assert [(await store.get(jobs[0].id)).id for store in stores] == [jobs[0].id] * 2
