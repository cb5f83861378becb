"""Results that wait for a reviewer: who is asked, what decisions do, what ends a wait."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from compute_samples import DID, OTHER_DID, OWNER, a_job, an_environment
from small_inputs import MemoryFile, MemorySupplier
from workshop import NOTHING_LEFT, Workshop, ended, phases_of, reach, start

from compute.decide import Deliver, Finish, Rest, next_step
from compute.egress.rules import EgressRules
from compute.egress.verdict import Decision, Finding, Outcome, Verdict
from compute.engines.fake import FakeRun, until_stopped
from compute.environments import Environments
from compute.errors import LogHeld, ReviewOver, UnknownJob, UnknownResult
from compute.models import DatasetItem, Job, Termination
from compute.operator import Operator
from compute.status import Goal, Phase
from compute.store.news import Event, News

ANNE, BERT = "0x" + "aa" * 20, "0x" + "bb" * 20
HELD_BY_ANNE = {"hold": "always", "reviewers": [ANNE], "holdFor": 3600}
BERTS = DatasetItem(
    did=OTHER_DID,
    service_id="s",
    egress=EgressRules(maxFiles=0, hold="fired", reviewers=(BERT,), holdFor=600),
)
MINE = DatasetItem(did=DID, service_id="s1")


async def held(operator: Operator, **spec: object) -> Job:
    return await reach(operator, await start(operator, **spec), Phase.HELD)


def two_sources(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)
    workshop.supplier = MemorySupplier(
        {did: [MemoryFile("a.csv", b"rows", validator="1")] for did in (DID, OTHER_DID)},
        [MemoryFile("algo.py", b"code", validator="1")],
    )


async def test_what_is_held_is_nowhere_to_be_had_until_it_is_released(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)
    async with workshop.operator() as operator:
        job = await held(operator)
        assert (job.phase.number, job.results, job.operator, job.machine) == (51, (), "", "")
        assert [file.filename for file in job.held] == ["result.txt", "algorithm.log"]
        assert job.finished_at is None
        assert list((workshop.data_dir / "results").iterdir()) == []
        assert workshop.leftovers() == NOTHING_LEFT | {"held": [job.id]}
        with pytest.raises(UnknownResult):
            operator.result(job, 0)
        with pytest.raises(LogHeld):
            await operator.log_stream(job, follow=False)
        file, path = operator.held_file(job, 0)
        assert (file.filename, path.read_text()) == ("result.txt", "42")
        assert [each.id for each in await operator.held(ANNE)] == [job.id]
        assert await operator.held(BERT) == []

        done = await operator.decide(job.id, ANNE, Decision.RELEASED)
        assert done.phase is Phase.COMPLETED
        assert (done.results, done.held) == (job.held, ())
        assert operator.result(done, 0)[1].read_text() == "42"
        assert await operator.held(ANNE) == []
        with pytest.raises(UnknownResult):
            operator.held_file(done, 0)
        assert await phases_of(operator, job) == [1, 10, 20, 30, 40, 60, 51, 70]
        notes = [move.note for move in await operator.history(job.id)]
        assert f"released by reviewer {ANNE}" in notes
    assert workshop.leftovers() == NOTHING_LEFT


async def test_every_source_has_to_release(workshop: Workshop) -> None:
    two_sources(workshop)
    async with workshop.operator() as operator:
        job = await held(operator, datasets=(MINE, BERTS))
        assert job.verdict
        assert job.verdict.reviewers == (ANNE, BERT)
        assert job.verdict.held_until == pytest.approx(workshop.clock() + 600, abs=60)
        waiting = await operator.decide(job.id, ANNE, Decision.RELEASED)
        assert waiting.phase is Phase.HELD
        with pytest.raises(ReviewOver, match=f"released by {ANNE}"):
            await operator.decide(job.id, ANNE, Decision.REFUSED)
        assert [each.id for each in await operator.held(BERT)] == [job.id]
        done = await operator.decide(job.id, BERT, Decision.RELEASED)
        assert done.phase is Phase.COMPLETED
        with pytest.raises(ReviewOver, match=f"released by {BERT}"):
            await operator.decide(job.id, BERT, Decision.REFUSED)


async def test_one_refusal_refuses_and_keeps_the_algorithms_own_end(workshop: Workshop) -> None:
    two_sources(workshop)

    async def exits_3(run: FakeRun) -> int:
        run.path("/data/outputs/rows.csv").write_text("rows")
        return 3

    workshop.world.add_image("python:3.11", exits_3)
    async with workshop.operator() as operator:
        job = await held(operator, datasets=(MINE, BERTS))
        done = await operator.decide(job.id, BERT, Decision.REFUSED)
        assert (done.phase, done.results, done.held) == (Phase.PUBLISHING_FAILED, (), ())
        assert done.termination
        assert (done.termination.reason, done.termination.exit_code) == ("owner_refused", 3)
        with pytest.raises(ReviewOver):
            await operator.decide(job.id, ANNE, Decision.RELEASED)
    assert workshop.leftovers() == NOTHING_LEFT


async def test_an_algorithm_that_failed_is_held_too_and_ends_as_it_did(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)

    async def exits_3(run: FakeRun) -> int:
        run.print("no such column")
        return 3

    workshop.world.add_image("python:3.11", exits_3)
    async with workshop.operator() as operator:
        job = await held(operator)
        done = await operator.decide(job.id, ANNE, Decision.RELEASED)
        assert done.phase is Phase.ALGORITHM_FAILED
        assert operator.result(done, 0)[1].read_text() == "no such column\n"


async def test_strangers_and_jobs_that_are_not_held_are_unknown(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE, maxJobs=2)
    async with workshop.operator() as operator:
        job = await held(operator)
        workshop.world.add_image("python:3.11", until_stopped)
        running = await reach(operator, await start(operator), Phase.RUNNING)
        for job_id, wallet in ((job.id, BERT), (job.id, OWNER), (running.id, ANNE), ("x", ANNE)):
            with pytest.raises(UnknownJob):
                await operator.decide(job_id, wallet, Decision.RELEASED)
        await operator.delete([job.id])
        with pytest.raises(UnknownJob):
            await operator.decide(job.id, ANNE, Decision.RELEASED)
        assert await operator.held(ANNE) == []


async def test_a_place_is_free_while_results_are_held(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE, maxJobs=1)
    async with workshop.operator() as operator:
        first = await held(operator, holds=("the one order",))
        second = await held(operator, holds=("the one order",))
        assert {job.id for job in await operator.held(ANNE)} == {first.id, second.id}
        assert await operator.loads() == {}


async def test_the_wait_ends_in_time_also_after_a_restart(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)
    async with workshop.operator() as operator:
        job = await held(operator)
    workshop.clock.advance(3601)
    async with workshop.operator() as operator:
        done = await ended(operator, job)
        assert done.termination
        assert done.termination.reason == "hold_expired"
    assert workshop.leftovers() == NOTHING_LEFT


async def test_after_its_time_nobody_decides(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)
    async with workshop.operator() as operator:
        job = await held(operator)
    workshop.clock.advance(3601)
    with pytest.raises(ReviewOver, match="in time"):
        await workshop.store.reviews.decide(job.id, ANNE, Decision.RELEASED, now=workshop.clock())


async def test_a_decision_that_no_operator_has_seen_is_carried_out(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)
    async with workshop.operator() as operator:
        job = await held(operator)
    await workshop.store.reviews.decide(job.id, ANNE, Decision.RELEASED, now=workshop.clock())
    workshop.environments = Environments((an_environment(id="another"),))
    workshop.clock.advance(3601)
    async with workshop.operator() as operator:
        assert (await ended(operator, job)).phase is Phase.COMPLETED


async def test_who_is_stopped_cannot_be_released_any_more(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)
    async with workshop.operator() as operator:
        job = await held(operator)
    await workshop.store.wish(job.id, Goal.STOP, now=workshop.clock())
    with pytest.raises(ReviewOver, match="being ended"):
        await workshop.store.reviews.decide(job.id, ANNE, Decision.RELEASED, now=workshop.clock())
    async with workshop.operator() as operator:
        assert (await ended(operator, job)).phase is Phase.STOPPED
    assert workshop.leftovers() == NOTHING_LEFT


async def test_what_cannot_be_written_with_a_decision_undoes_it(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)

    def refused(connection: object) -> None:
        raise ValueError("the nonce is used up")

    async with workshop.operator() as operator:
        job = await held(operator)
        with pytest.raises(ValueError, match="used up"):
            await operator.decide(job.id, ANNE, Decision.RELEASED, also=refused)
        assert await operator.job(job.id) == job


async def test_of_decisions_at_the_same_time_one_counts(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)
    async with workshop.operator() as operator:
        job = await held(operator)
        answers = await asyncio.gather(
            *(operator.decide(job.id, ANNE, Decision.RELEASED) for _ in range(8)),
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in answers) == ["Job"] + ["ReviewOver"] * 7


async def test_every_process_is_told_when_a_wait_begins(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)
    heard: list[News] = []
    workshop.store.hear(heard.append)
    async with workshop.operator() as operator:
        job = await held(operator)
    assert News(Event.HELD, "small", job.id) in heard


async def test_what_a_crash_has_left_of_ended_jobs_is_swept(workshop: Workshop) -> None:
    workshop.environment(egress=HELD_BY_ANNE)
    async with workshop.operator() as operator:
        job = await held(operator)
    left: Path = workshop.data_dir / "held" / ("f" * 32)
    left.mkdir()
    async with workshop.operator() as operator:
        assert workshop.leftovers() == NOTHING_LEFT | {"held": [job.id]}
        await operator.delete([job.id])


def a_held_job(*findings: Finding, goal: Goal = Goal.RUN, **fields: object) -> Job:
    end = Termination(Phase.COMPLETED, "completed", "", 0)
    verdict = Verdict(findings, hold_s=60, held_until=1060.0)
    return a_job(phase=Phase.HELD, goal=goal, verdict=verdict, termination=end, **fields)


def asks(wallet: str, decision: Decision = Decision.NONE) -> Finding:
    return Finding(wallet, Outcome.HOLD, (), (wallet,), decision)


RELEASED, REFUSED = asks(ANNE, Decision.RELEASED), asks(BERT, Decision.REFUSED)


@pytest.mark.parametrize(
    ("findings", "now", "expected"),
    [
        ([asks(ANNE)], 1000.0, Rest(1060.0)),
        ([asks(ANNE), Finding("x", Outcome.PASS)], 1059.9, Rest(1060.0)),
        ([RELEASED, asks(BERT)], 1000.0, Rest(1060.0)),
        ([RELEASED], 1000.0, Deliver()),
        ([RELEASED], 9999.0, Deliver()),
    ],
)
def test_what_a_held_job_needs(
    findings: list[Finding], now: float, expected: Rest | Deliver
) -> None:
    job = a_held_job(*findings)
    assert next_step(job, an_environment(), now) == expected
    assert next_step(job, None, now) == expected


@pytest.mark.parametrize(
    ("findings", "goal", "now", "reason"),
    [
        ([asks(ANNE)], Goal.RUN, 1060.0, "hold_expired"),
        ([RELEASED, asks(BERT)], Goal.RUN, 1060.0, "hold_expired"),
        ([RELEASED, REFUSED], Goal.RUN, 1000.0, "owner_refused"),
        ([REFUSED], Goal.STOP, 1000.0, "owner_refused"),
        ([asks(ANNE)], Goal.STOP, 1000.0, "stopped"),
        ([RELEASED], Goal.DELETE, 1000.0, "stopped"),
    ],
)
def test_how_a_held_job_ends(findings: list[Finding], goal: Goal, now: float, reason: str) -> None:
    step = next_step(a_held_job(*findings, goal=goal), an_environment(), now)
    assert isinstance(step, Finish)
    assert step.termination.reason == reason


def test_a_wallet_decides_for_the_sources_that_ask_it_and_no_other() -> None:
    verdict = Verdict((asks(ANNE), asks(BERT), Finding("x", Outcome.HOLD, (), (ANNE, BERT))))
    decided = verdict.decided(ANNE, Decision.RELEASED, 7.0)
    assert [each.by for each in decided.findings] == [ANNE, "", ANNE]
    assert not decided.waits_for(ANNE)
    assert decided.waits_for(BERT)
    assert decided.decided(ANNE, Decision.REFUSED, 8.0) == decided
    assert Verdict.read(decided.stored()) == decided
