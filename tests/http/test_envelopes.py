"""Answers to errors that have no request of their own in these tests."""

from __future__ import annotations

import json

import pytest

from compute.errors import HoldTaken
from provider.dialects.ocean.envelopes import render
from provider.errors import AssetsUnavailable, ChainUnavailable, ProviderError


@pytest.mark.parametrize("error", [ChainUnavailable(137, "node 1 is down"), AssetsUnavailable()])
def test_what_may_pass_says_when_to_try_again(error: ProviderError) -> None:
    response = render(error)
    assert response is not None
    assert (response.status, response.headers["Retry-After"]) == (503, "2")
    assert "try again" in response.text
    assert "node 1" not in response.text


def test_a_taken_order_is_a_conflict_that_names_no_other_job() -> None:
    response = render(HoldTaken("8996:0xabc:0xdef:1"))
    assert response is not None
    assert response.status == 409
    assert "Retry-After" not in response.headers
    assert json.loads(response.text) == {
        "error": "This order carries a job that has not finished yet."
    }
