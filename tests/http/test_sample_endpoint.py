"""Samples: for everybody, but no address of a file, no data, and not without bounds."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ocean_consumer import BOB, DATA, OPEN, PRIVATE, Api, Serve, ddo, service

from compute.errors import InputUnavailable
from provider.assets.ddo import Ddo
from provider.samples import Samples, TooManySamples, _bounded

SAMPLE = "/api/services/computeSample"
SHOWN, SECRET, BROKEN, LARGE, UP = (
    f"did:op:{name}" for name in ("shown", "secret", "broken", "large", "up")
)
FILES = [{"type": "localfile", "path": "few.csv"}, {"type": "localfile", "path": "more.json"}]
LIMITED = {"allow": [{"type": "address", "values": [BOB.address]}]}


@pytest.fixture
def folder(folder: Path) -> Path:
    (folder / "files" / "few.csv").write_text("a,b\n")
    (folder / "files" / "more.json").write_text("[1]")
    with (folder / "files" / "large.bin").open("wb") as file:
        file.truncate((64 << 20) + 1)
    rules = {"allowRawAlgorithm": True, "sample": FILES}
    large = {"sample": [{"type": "localfile", "path": "large.bin"}]}
    documents = [
        ddo(SHOWN, service(compute=rules), service("access")),
        ddo(SECRET, service(compute=rules), credentials=LIMITED),
        ddo(BROKEN, service(compute={"sample": [{"type": "url"}]})),
        ddo(LARGE, service(compute=large)),
        ddo(UP, service(compute={"sample": [*FILES, {"type": "localfile", "path": "../up"}]})),
    ]
    for number, document in enumerate(documents):
        (folder / "assets" / f"s{number}.json").write_text(json.dumps(document))
    return folder


async def ask(api: Api, did: str, index: int | str | None = None, **more: Any) -> tuple[int, Any]:
    query = {"documentId": did, "serviceId": "compute", **more}
    if index is not None:
        query["fileIndex"] = str(index)
    return await api.call("GET", SAMPLE, params=query)


async def test_a_sample_is_listed_with_what_binds_jobs(api: Api) -> None:
    status, told = await ask(api, SHOWN)
    assert status == 200
    assert told == {
        "documentId": SHOWN,
        "serviceId": "compute",
        "files": [
            {"index": 0, "name": "few.csv", "size": 4},
            {"index": 1, "name": "more.json", "size": 3},
        ],
        "allowRawAlgorithm": True,
        "allowNetworkAccess": False,
        "egress": None,
    }


async def test_a_file_is_handed_out_whole_in_parts_and_by_its_headers(api: Api) -> None:
    assert await ask(api, SHOWN, 1) == (200, b"[1]")
    query = {"documentId": SHOWN, "serviceId": "compute", "fileIndex": "0"}
    part = {"Range": "bytes=1-2"}
    async with api.client.get(SAMPLE, params=query, headers=part) as answer:
        assert (answer.status, await answer.read()) == (206, b",b")
    async with api.client.head(SAMPLE, params=query) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "4")
        assert "few.csv" in answer.headers["Content-Disposition"]


async def test_a_sample_of_a_limited_asset_is_for_everybody_and_its_data_for_nobody(
    api: Api,
) -> None:
    """The owner's choice; where there is no sample, nothing is told of such an asset."""
    assert (await ask(api, SECRET, 0)) == (200, b"a,b\n")
    assert (await ask(api, PRIVATE))[0] == 403


@pytest.mark.parametrize(
    ("did", "index", "more", "status", "says"),
    [
        (OPEN, 0, {}, 400, "published no sample"),
        (SHOWN, 2, {}, 400, "No such fileIndex 2"),
        (SHOWN, "x", {}, 400, "fileIndex"),
        (SHOWN, 0, {"serviceId": "other"}, 400, "Invalid serviceId"),
        (SHOWN, None, {"serviceId": "access"}, 400, "type compute"),
        (SHOWN, None, {"serviceId": ""}, 400, "serviceId"),
        ("did:op:nobody", 0, {}, 400, "did:op:nobody"),
        (BROKEN, None, {}, 400, "malformed service files"),
        (LARGE, 0, {}, 400, "too large for a sample"),
        (UP, None, {}, 400, "not a file in the data folder"),
        (UP, 2, {}, 400, "not a file in the data folder"),
    ],
)
async def test_what_there_is_not(
    api: Api, did: str, index: int | str | None, more: dict[str, str], status: int, says: str
) -> None:
    answered, told = await ask(api, did, index, **more)
    assert answered == status, told
    assert says in json.dumps(told)


async def test_data_without_a_sample_lists_none(api: Api) -> None:
    status, told = await ask(api, DATA)
    assert (status, told["files"]) == (200, [])


async def test_what_is_larger_than_told_is_cut_off() -> None:
    async def endless() -> Any:
        while True:
            yield b"xxxx"

    chunks = _bounded(endless(), 10)
    assert await anext(chunks) + await anext(chunks) == b"xxxxxxxx"
    with pytest.raises(InputUnavailable, match="too large"):
        await anext(chunks)


def test_nobody_keeps_all_turns_by_taking_samples_slowly() -> None:
    nothing: Any = None
    samples = Samples(catalogue=nothing, supplier=nothing, trail=nothing)
    with ExitStack() as slow:
        for _ in range(2):
            slow.enter_context(samples._turn("203.0.113.1"))
        with pytest.raises(TooManySamples), samples._turn("203.0.113.1"):
            pass
        for number in range(6):
            slow.enter_context(samples._turn(f"203.0.113.{number // 2 + 2}"))
        for other in ("203.0.113.9", ""):
            with pytest.raises(TooManySamples), samples._turn(other):
                pass
    with ExitStack() as unknown:
        for _ in range(8):
            unknown.enter_context(samples._turn(""))


async def test_hand_outs_are_counted_for_the_audit_log(serve: Serve, folder: Path) -> None:
    api = await serve()
    await ask(api, SHOWN, 0)
    trail = api.client.app
    assert trail is not None
    from provider.auditing.refusals import TRAIL

    assert trail[TRAIL]._counts["served"] == {"sample": 1}


def test_algorithms_do_not_see_where_a_sample_is() -> None:
    document = Ddo.parse(ddo(SHOWN, service(compute={"sample": FILES}))).document
    assert document["services"][0]["compute"]["sample"] == ""


async def test_an_environment_tells_how_it_runs_jobs(api: Api) -> None:
    _, listed = await api.call("GET", "/api/services/computeEnvironments")
    runtime = listed[0]["runtime"]
    assert runtime["network"] == "bridge"
    assert runtime["images"] == {"allow": ["example/python*"], "pull": "never", "build": False}
    assert (runtime["pids"], runtime["maxOutputFiles"]) == (256, 10000)
