"""Jobs that their owners name: one of a kind in a namespace until they are deleted."""

from __future__ import annotations

import asyncio

import pytest
from job_factory import MakeJob, claim

from compute.errors import NameTaken, QueueFull, UnknownJob
from compute.models import Job
from compute.status import Goal, Phase
from compute.store.database import open_database
from compute.store.jobs import JobStore


async def insert(store: JobStore, job: Job) -> Job:
    return await store.insert(job, queue_limit=100)


async def test_a_name_is_found_in_its_namespace_alone(store: JobStore, make_job: MakeJob) -> None:
    job = await insert(store, make_job(namespace="lab/-", name="first"))
    assert await store.named("lab/-", "first") == job
    for namespace, name in (("lab/x", "first"), ("lab/-", "First"), ("", "first"), ("lab/-", "")):
        with pytest.raises(UnknownJob):
            await store.named(namespace, name)


async def test_of_two_at_once_one_has_the_name(store: JobStore, make_job: MakeJob) -> None:
    jobs = [make_job(namespace="lab/-", name="first") for _ in range(8)]
    answers = await asyncio.gather(*(insert(store, job) for job in jobs), return_exceptions=True)
    assert sum(isinstance(answer, Job) for answer in answers) == 1
    assert sum(isinstance(answer, NameTaken) for answer in answers) == 7
    assert len(await store.in_namespace("lab/-")) == 1


async def test_a_taken_name_leaves_nothing_of_the_second(
    store: JobStore, make_job: MakeJob
) -> None:
    await insert(store, make_job(namespace="lab/-", name="first"))
    refused = make_job(namespace="lab/-", name="first")
    with pytest.raises(NameTaken):
        await insert(store, refused)
    with pytest.raises(UnknownJob):
        await store.get(refused.id)


async def test_a_finished_job_keeps_its_name_and_a_deleted_one_does_not(
    store: JobStore, make_job: MakeJob
) -> None:
    job = await insert(store, make_job(namespace="lab/-", name="first"))
    job = await store.move(job, Phase.STOPPED, now=2000.0)
    with pytest.raises(NameTaken):
        await insert(store, make_job(namespace="lab/-", name="first"))
    job = await store.wish(job.id, Goal.DELETE, now=2001.0)
    await store.move(job, Phase.DELETED, now=2002.0)
    with pytest.raises(UnknownJob):
        await store.named("lab/-", "first")
    assert await store.namespaces("") == []
    again = await insert(store, make_job(namespace="lab/-", name="first"))
    assert await store.named("lab/-", "first") == again


async def test_jobs_without_a_namespace_have_no_names_to_clash(
    store: JobStore, make_job: MakeJob
) -> None:
    for _ in range(2):
        await insert(store, make_job())
    assert await store.namespaces("") == []


async def test_namespaces_are_told_by_their_beginning(store: JobStore, make_job: MakeJob) -> None:
    for number, namespace in enumerate(("lab/b", "lab/a", "lab/a", "lab", "lac/a", "Lab/c")):
        await insert(store, make_job(namespace=namespace, name=str(number)))
    assert await store.namespaces("lab/") == ["lab/a", "lab/b"]
    assert await store.namespaces("lab") == ["lab", "lab/a", "lab/b"]
    assert await store.namespaces("x") == []


async def test_a_namespace_is_listed_newest_first(store: JobStore, make_job: MakeJob) -> None:
    made = [await insert(store, make_job(namespace="lab/-", name=str(n))) for n in range(4)]
    await insert(store, make_job(namespace="lab/x", name="0"))
    assert [job.id for job in await store.in_namespace("lab/-", limit=3)] == [
        job.id for job in made[:0:-1]
    ]


async def test_a_job_with_a_delay_is_not_claimed_before(store: JobStore, make_job: MakeJob) -> None:
    late = await insert(store, make_job(retry_at=1500.0))
    prompt = await insert(store, make_job())
    assert [job.id for job in await claim(store, "small", 5, now=1000.0)] == [prompt.id]
    assert [job.id for job in await claim(store, "small", 5, now=1500.0)] == [late.id]


async def test_jobs_that_wait_for_their_time_take_no_place_from_others(
    store: JobStore, make_job: MakeJob
) -> None:
    for number in range(2):
        late = make_job(retry_at=1e9, owner=f"0x{number:040}")
        await store.insert(late, queue_limit=0, owner_limit=1, places=2)
    with pytest.raises(QueueFull):
        await store.insert(make_job(retry_at=1e9), queue_limit=0, places=2)
    for _ in range(2):
        await store.insert(make_job(), queue_limit=0, owner_limit=1, places=2)
    with pytest.raises(QueueFull):
        await store.insert(make_job(), queue_limit=0, owner_limit=1, places=2)


async def test_what_a_job_went_through_is_read_back(url: str, make_job: MakeJob) -> None:
    database = await open_database(url)
    try:
        job = await insert(JobStore(database), make_job(namespace="lab/-", name="first"))
        for phase in (Phase.STARTED, Phase.CONFIGURING_VOLUMES, Phase.PROVISIONED):
            job = await JobStore(database).move(job, phase, now=1.0)
        job = await JobStore(database).move(job, Phase.RUNNING, now=1.0, pid=77)
        fresh = await JobStore(database).get(job.id)
        assert (fresh.namespace, fresh.name, fresh.pid, fresh.stage) == ("lab/-", "first", 77, 0)
    finally:
        await database.close()


async def test_a_full_queue_is_told_before_anything_is_kept(
    store: JobStore, make_job: MakeJob
) -> None:
    with pytest.raises(QueueFull):
        await store.insert(make_job(namespace="lab/-", name="first"), queue_limit=0)
    assert await store.in_namespace("lab/-") == []
