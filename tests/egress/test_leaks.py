"""Algorithms that carry off their input, against the rules, on a real service and engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from leaks import DID, HOLD, LEAKS, LOG_BYTES, NEVER, OUT, RULES, TABLE, Leak
from support.consumer import Consumer, raw
from support.service import IMAGE, Json, Service, dataset_document, engine

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

ROOM = {"maxOutputFiles": 12_000, "diskGB": 0.1}
STRICT = "did:op:" + "e5" * 32
FILTERS = {
    "first": "cat /data/outputs/x > /data/outputs/y; echo first >> /data/outputs/x",
    "second": "echo second >> /data/outputs/x",
}


@pytest.fixture(scope="module")
def filters() -> Iterator[dict[str, str]]:
    """Two filter images."""
    names = {name: f"ocean-compute-test/egress-{name}:1" for name in FILTERS}
    with engine() as client:
        made = client.create_container(f"{IMAGE}:1", "true")["Id"]
        for name, command in FILTERS.items():
            change = f'CMD ["sh", "-c", "{command}"]'
            client.commit(made, *names[name].split(":"), changes=[change])
        client.remove_container(made)
        yield names
        for name in names.values():
            client.remove_image(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    tmp_path_factory: pytest.TempPathFactory, filters: dict[str, str]
) -> AsyncIterator[Service]:
    """One service: an environment for each rule, and a dataset with rules of its own."""
    service = Service(tmp_path_factory.mktemp("leaks") / "service")
    (service.root / "files" / "rows.csv").write_text(TABLE)
    files = [{"type": "localfile", "path": "rows.csv"}]
    service.publish(dataset_document(DID, files))
    strict = {"maxFiles": 2, "noInputCopies": True, "filterImage": filters["second"]}
    service.publish(dataset_document(STRICT, files, egress=strict))
    service.environments(
        *(
            {"id": rule, "egress": RULES[rule], "maxOutputFiles": 12_000, "diskGB": 0.1}
            for rule in RULES
        ),
        {"id": "filtered", "filterImage": filters["first"]},
    )
    await service.start()
    yield service
    service.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcomes(service: Service, checksum: str) -> dict[str, tuple[Json, dict[str, bytes]]]:
    """Of each leak its job and all that was handed out."""
    async with Consumer(service.url) as consumer:
        started = [
            await consumer.start(raw(leak.script, checksum=checksum), [DID], leak.rule)
            for leak in LEAKS
        ]
        ended = [await consumer.follow(job["jobId"]) for job in started]
        return {
            leak.name: (job, await consumer.files(job))
            for leak, job in zip(LEAKS, ended, strict=True)
        }


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
async def test_what_stops_it(
    service: Service, outcomes: dict[str, tuple[Json, dict[str, bytes]]], leak: Leak
) -> None:
    job, files = outcomes[leak.name]
    told = job["terminationDetails"]
    if leak.rule == "maxLogBytes":
        assert job["status"] == 70
        assert [len(text) for text in files.values()] == [LOG_BYTES]
    elif leak.rule == NEVER:
        assert (job["status"], job["egress"]) == (70, None), told
        assert list(files) == ["algorithm.log"]
        assert TABLE[:50].encode() not in files["algorithm.log"]
    elif leak.rule == HOLD:
        assert job["status"] == 70, told
        assert job["egress"] == {"outcome": "pass", "rules": [], "heldUntil": None}
        assert any(len(content) > 100 for name, content in files.items() if name != "algorithm.log")
    else:
        assert (job["status"], told["reason"], told["exitCode"]) == (61, "egress_refused", 0), told
        [rule] = job["egress"]["rules"]
        assert rule.startswith(f"{leak.rule}: ")
        assert rule in told["detail"]
        assert (files, job["results"]) == ({}, [])
        assert not (service.data / "results" / job["jobId"]).exists()


async def test_nothing_of_the_data_reached_a_log_of_the_service(
    service: Service, outcomes: dict[str, tuple[Json, dict[str, bytes]]]
) -> None:
    assert outcomes
    assert TABLE[:20] not in service.log()
    assert not service.leftovers()


async def test_a_dataset_s_rules_and_filter_come_on_top(service: Service, checksum: str) -> None:
    async with Consumer(service.url) as consumer:
        started = [
            await consumer.start(raw(script, checksum=checksum), [STRICT], "filtered")
            for script in (f"echo x > {OUT}/x", f"echo x > {OUT}/x; echo z > {OUT}/z")
        ]
        passed, refused = [await consumer.follow(job["jobId"]) for job in started]
        assert passed["status"] == 70, passed
        files = await consumer.files(passed)
        assert files == {"x": b"x\nfirst\nsecond\n", "y": b"x\n", "algorithm.log": b""}
        assert (refused["status"], refused["results"]) == (61, [])
        assert refused["egress"]["rules"] == ["maxFiles: at most 2 files"]
        assert not service.leftovers()
