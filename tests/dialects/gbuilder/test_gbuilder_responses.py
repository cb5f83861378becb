"""Which file is handed out, and errors in this API's envelope."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from gbuilder_samples import job

from compute.errors import QueueFull, StoreUnavailable, UnknownJob
from compute.models import Job
from compute.status import Phase
from provider.dialects.gbuilder.errors import NothingToStop
from provider.dialects.gbuilder.responses import handed_out, render
from provider.errors import KeyedRefusal, KeyWrong, NoSuchResult, TaskExists, UploadTooLarge


@pytest.mark.parametrize(
    ("outputs", "index"),
    [
        (("output.jsonl",), 0),
        (("a.txt", "output.jsonl", "z.txt"), 1),
        (("a.txt",), 0),
        (("folder/output.jsonl",), 0),
    ],
)
def test_the_named_output_or_the_only_one(outputs: tuple[str, ...], index: int) -> None:
    assert handed_out(job(Phase.COMPLETED, "completed", 0, *outputs), "output.jsonl").index == index


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (job(Phase.QUEUED), "no result yet"),
        (job(Phase.RUNNING), "no result yet"),
        (job(Phase.COMPLETED, "completed", 0), "wrote no output.jsonl, but 0 files"),
        (job(Phase.COMPLETED, "completed", 0, "a", "b"), "wrote no output.jsonl, but 2 files"),
        (
            job(Phase.ALGORITHM_FAILED, "exit_code", 3, "output.jsonl"),
            "no result: Algorithm failed (detail of exit_code)",
        ),
        (job(Phase.EXPIRED), "no result: Job expired in queue"),
        (job(Phase.STOPPED, "stopped"), "no result: Job stopped (detail of stopped)"),
    ],
)
def test_why_there_is_nothing(seen: Job, text: str) -> None:
    with pytest.raises(NoSuchResult) as caught:
        handed_out(seen, "output.jsonl")
    assert text in caught.value.public
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (TaskExists("7"), 409, "7 is there already"),
        (UploadTooLarge(5), 413, "5 bytes"),
        (KeyWrong(), 401, "key"),
        (NothingToStop("It is over."), 400, "It is over."),
        (QueueFull("Too many jobs wait"), 400, "Too many jobs wait; try again"),
        (KeyedRefusal("stage algorithm", "image_not_allowed"), 400, "images.allow"),
        (StoreUnavailable("No disk."), 503, "No disk."),
        (web.HTTPNotFound(), 404, "nothing at this path"),
        (web.HTTPMethodNotAllowed("PUT", ["POST"]), 405, "another method"),
        (web.HTTPRequestTimeout(), 408, "in time"),
    ],
)
def test_the_envelope_of_errors(error: Exception, status: int, text: str) -> None:
    response = render(make_mocked_request("GET", "/"), error)
    assert response is not None
    assert response.status == status
    body = json.loads(response.text or "")
    assert set(body) == {"status", "error"}
    assert body["status"] == status
    assert text in body["error"]
    assert ("Retry-After" in response.headers) == (status == 503)
    assert response.headers.get("Allow") == ("POST" if status == 405 else None)


@pytest.mark.parametrize("error", [UnknownJob("x"), RuntimeError("x")])
def test_other_errors_are_the_guards(error: Exception) -> None:
    assert render(make_mocked_request("GET", "/"), error) is None
