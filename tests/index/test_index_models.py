"""What queries look at, and which checkpoints stay."""

from __future__ import annotations

import pytest
from publishing_chain import address, document

from provider.assets.index.models import (
    MAX_TOKENS,
    MAX_WORDS_CHARACTERS,
    Summary,
    checkpoints_to_drop,
    datatokens_of,
    summary_of,
)

NFT = address("nft")


def test_a_summary_is_lower_case_and_enclosed() -> None:
    summary = summary_of(document(NFT))
    assert summary.kind == "dataset"
    assert summary.tokens == f" {address(f'token of {NFT}')} "
    assert summary.words == " río levels hydrology water level hourly gauges "


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"metadata": None, "services": None},
        {"metadata": [], "services": {}},
        {"metadata": {"name": 5, "tags": "a", "type": ["x"]}, "services": [None, 5, []]},
        {"services": [{"datatokenAddress": "0x12"}, {"datatokenAddress": 7}]},
    ],
    ids=str,
)
def test_whatever_a_publisher_writes_is_summed_up(odd: dict[str, object]) -> None:
    assert summary_of(odd) == Summary()


def test_what_no_database_takes_is_left_out() -> None:
    summary = summary_of({"metadata": {"name": "a\ud800b\0c", "type": "\udfff\0"}})
    assert summary.words == " ab c "
    assert summary.kind == " "


def test_a_summary_is_bounded() -> None:
    services = [{"datatokenAddress": address(number)} for number in range(MAX_TOKENS + 5)]
    large = {"metadata": {"name": "n " * 10_000, "type": "t" * 500}, "services": services}
    summary = summary_of(large)
    assert len(summary.words) <= MAX_WORDS_CHARACTERS + 2
    assert len(summary.kind) == 40
    assert len(datatokens_of(large)) == MAX_TOKENS


def test_close_checkpoints_stay() -> None:
    assert checkpoints_to_drop(range(937, 1001), 1000) == []
    assert checkpoints_to_drop([], 1000) == []


def test_far_checkpoints_thin_out() -> None:
    """Block by block for a long time: few stay, and none is far too far back."""
    kept: list[int] = []
    for newest in range(5000):
        kept.append(newest)
        dropped = set(checkpoints_to_drop(kept, newest))
        kept = [number for number in kept if number not in dropped]
        assert len(kept) <= 64 + newest.bit_length()
    for depth in range(1, 4999):
        below = [number for number in kept if number <= 4999 - depth]
        assert below
        assert 4999 - max(below) <= max(4 * depth, 64)
