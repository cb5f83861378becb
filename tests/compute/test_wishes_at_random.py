"""Starts, stops, deletes, faults and restarts in any order: everything comes to its end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace

import pytest
from workshop import HASTY, NOTHING_LEFT, Workshop, ended, start

from compute.engines.fake import FakeRun
from compute.engines.faulty import StumblingEngine
from compute.models import Job
from compute.operator import Operator
from compute.status import Goal, Phase
from compute.store.base import nothing
from compute.store.jobs import JobStore

IMAGE = "python:3.11"
VERBS = ("ensure_image", "create", "start", "observe", "stop", "save_log", "remove", "owned")


async def one_wish(operator: Operator, jobs: list[Job], dice: random.Random) -> None:
    """Something that an owner may do."""
    kind = dice.choice(["start", "start", "stop", "delete", "both", "wait"])
    chosen = [job.id for job in dice.sample(jobs, min(len(jobs), dice.randint(1, 3)))]
    if kind == "start":
        jobs.append(await start(operator, max_duration_s=3600))
    elif kind == "wait" or not chosen:
        for _ in range(dice.randint(1, 30)):
            await asyncio.sleep(0)
    elif kind == "both":
        await asyncio.gather(
            operator.stop(chosen, wait_s=0.001), operator.delete(chosen, wait_s=0.001)
        )
    else:
        wish = operator.stop if kind == "stop" else operator.delete
        await wish(chosen, wait_s=0.001)


@pytest.mark.parametrize("seed", range(6))
async def test_everything_comes_to_its_end(workshop: Workshop, seed: int) -> None:
    dice = random.Random(seed)

    async def anything(run: FakeRun) -> int:
        for _ in range(dice.randint(0, 200)):
            await asyncio.sleep(0)
        run.path("/data/outputs/result.txt").write_text("42")
        return dice.choice([0, 0, 1])

    workshop.world.add_image(IMAGE, anything)
    workshop.environment(maxJobs=3, stopGrace=0)
    workshop.limits = replace(HASTY, look_s=0.05, watch_s=0.05)
    jobs: list[Job] = []
    for _ in range(4):
        stumbles = Counter({verb: dice.randint(0, 3) for verb in VERBS})
        engine = StumblingEngine(stumbles, workshop.world, after=dice.random() < 0.5)
        store = JobStore(workshop.database)
        async with workshop.operator(engine=engine, store=store) as operator:
            for _ in range(12):
                await one_wish(operator, jobs, dice)
        # A process waits for its last writes when it closes its database.
        await workshop.database.write(nothing)
    async with workshop.operator(store=JobStore(workshop.database)) as operator:
        for job in jobs:
            last = await ended(operator, job)
            if last.goal is Goal.DELETE:
                await operator.delete([job.id])
                last = await operator.job(job.id)
                assert last.phase is Phase.DELETED
            elif last.goal is Goal.RUN:
                assert last.phase in {Phase.COMPLETED, Phase.ALGORITHM_FAILED}
    assert workshop.leftovers() == NOTHING_LEFT
    assert set(workshop.world.starts.values()) <= {1}
