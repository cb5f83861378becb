"""Every shape of refusal reads as a sentence; answers are read leniently."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.client import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    Dataset,
    Job,
    NonceRefusedError,
    NotAuthorisedError,
    NotFoundError,
    ProviderBusyError,
    ProviderFaultError,
    ProviderUnreachableError,
    RefusedError,
)
from provider.client.errors import plain, refusal
from provider.client.models import environments_from_wire

DENIED = b"Error: Access to asset did:op:1 was denied with code: ConsumableCodes.CREDENTIAL_"


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "text"),
    [
        (
            400,
            b'{"success": false, "message": "Validation error", "errors":'
            b' {"nonce": ["The nonce field is required."], "jobId": ["The jobId is bad."]}}',
            RefusedError,
            "nonce,jobId",
            "The nonce field is required. The jobId is bad.",
        ),
        (
            400,
            b'{"errors": {"signature": "Invalid signature expected nonce (5) > current nonce'
            b' (5)."}}',
            NonceRefusedError,
            "signature",
            "Invalid signature expected nonce (5) > current nonce (5).",
        ),
        (
            400,
            b'{"errors": {"signature": ["Invalid signature provided."]}}',
            NotAuthorisedError,
            "signature",
            "Invalid signature provided.",
        ),
        (400, b'{"error": "Cannot resolve DID"}', NotFoundError, "", "Cannot resolve DID"),
        (
            400,
            b'{"error": {"datasets[1]": "no_raw_algo_allowed"}}',
            RefusedError,
            "no_raw_algo_allowed",
            "datasets[1]: the dataset does not allow raw algorithms.",
        ),
        (
            400,
            b'{"error": {"order": "brand_new_code"}}',
            RefusedError,
            "brand_new_code",
            "order: brand_new_code.",
        ),
        (
            400,
            b'{"error": {"dataset": "' + DENIED + b'NOT_IN_ALLOW_LIST."}}',
            NotAuthorisedError,
            "CREDENTIAL_NOT_IN_ALLOW_LIST",
            "dataset: this wallet is not on the asset's list of who may use it.",
        ),
        (
            400,
            b'{"error": "' + DENIED + b'IN_DENY_LIST."}',
            NotAuthorisedError,
            "CREDENTIAL_IN_DENY_LIST",
            "ConsumableCodes.CREDENTIAL_IN_DENY_LIST.",
        ),
        (
            400,
            b'{"error": {"dataset.documentId": "did_not_found"}}',
            NotFoundError,
            "did_not_found",
            "dataset.documentId: no asset has this DID.",
        ),
        (
            400,
            b'{"error": {"dataset.serviceId": "not_found"}}',
            NotFoundError,
            "not_found",
            "dataset.serviceId: the asset has no such service.",
        ),
        (
            400,
            b'{"error": {"dataset": "Told already."}}',
            RefusedError,
            "Told already.",
            "already.",
        ),
        (404, b'{"error": "404 Not Found", "context": null}', NotFoundError, "", "404 Not Found"),
        (403, b'{"error": "no"}', NotAuthorisedError, "", "no"),
        (
            400,
            b'{"error": "Compute environment does not exist"}',
            RefusedError,
            "",
            "`ocean-compute environments` lists those it has.",
        ),
        (429, b'{"error": "full"}', ProviderBusyError, "", "full"),
        (500, b"", ProviderFaultError, "", "HTTP status 500. (request r-1)"),
        (503, b"<html>\n<b>away", ProviderUnreachableError, "", "<html> <b>away"),
        (400, b"[1, 2]", RefusedError, "", "[1, 2]"),
        (400, b'{"message": "told"}', RefusedError, "", "told"),
        (400, b"{}", RefusedError, "", "HTTP status 400."),
    ],
)
def test_refusals_read_as_sentences(
    status: int, body: bytes, kind: type[Exception], code: str, text: str
) -> None:
    error = refusal(status, body, "r-1")
    assert type(error) is kind
    assert (error.status, error.code) == (status, code)
    assert str(error).endswith(text)
    assert ".." not in str(error)


@given(status=st.integers(400, 599), body=st.binary(max_size=300))
def test_no_refusal_is_too_strange_to_read(status: int, body: bytes) -> None:
    text = str(refusal(status, body))
    assert text
    assert text.isprintable()


def test_texts_of_strangers_are_one_printable_line() -> None:
    assert plain("a\x1b[2J\r\nb\u202e c") == "a [2J b c"
    assert plain("x" * 900) == "x" * 499 + "…"


@pytest.mark.parametrize(
    "document", [None, "", [], {}, {"jobId": ""}, {"status": 1}, "job", 7, [{"jobId": "x"}]]
)
def test_what_describes_no_job_is_told(document: Any) -> None:
    with pytest.raises(AnswerNotUnderstoodError):
        Job.from_wire(document)


def test_a_job_of_the_older_generation_is_understood() -> None:
    job = Job.from_wire(
        {
            "jobId": "j",
            "status": 40,
            "statusText": "Running algorithm ",
            "dateCreated": "1700000000.25",
            "dateFinished": None,
            "results": "",
        }
    )
    assert (job.status_text, job.created, job.finished) == (
        "Running algorithm",
        1700000000.25,
        False,
    )
    assert job.results == ()
    assert job.log is None


def test_results_without_index_count_by_position() -> None:
    listed = [{"filename": "a", "filesize": 1, "type": "output"}, {"type": "algorithmLog"}]
    job = Job.from_wire({"jobId": "j", "status": "70", "dateFinished": "1.0", "results": listed})
    assert [result.index for result in job.results] == [0, 1]
    assert job.results[1].filename == "result-1"
    assert job.log == job.results[1]
    assert job.succeeded


@pytest.mark.parametrize("document", [None, "x", {"1": {}}, ["small"], {"1": [3]}])
def test_what_lists_no_environments_is_told(document: Any) -> None:
    with pytest.raises(AnswerNotUnderstoodError):
        environments_from_wire(document)


@pytest.mark.parametrize("text", ["", "#1", "did:op:1#"])
def test_what_names_no_asset_is_told(text: str) -> None:
    with pytest.raises(ClientUsageError):
        Dataset.of(text)
