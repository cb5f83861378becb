"""Which nonces a signed text can be read with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.auth.texts import LARGEST_NONCE, SignedText, reach


@pytest.mark.parametrize(
    ("text", "greatest"),
    [
        ("", 0),
        ("0xab", 0),
        ("0xab7", 7),
        ("0xab0000", 0),
        ("0xab125", 125),
        ("0xab0125", 125),
        ("0xab5\n", 0),
        ("0xab1٣", 0),
        ("0xab1٣5", 5),
        (f"x{LARGEST_NONCE}", LARGEST_NONCE),
        (f"x{LARGEST_NONCE + 1}", 223372036854775808),
        (f"x1{LARGEST_NONCE}", LARGEST_NONCE),
        ("x31790000000000000000", 1790000000000000000),
        ("x311790000000000", 311790000000000),
    ],
)
def test_it_is_the_greatest_number_at_the_end(text: str, greatest: int) -> None:
    assert reach(text) == greatest


@given(st.text(alphabet="09ab1", max_size=45))
def test_no_reading_is_greater(text: str) -> None:
    endings = [text[start:] for start in range(len(text))]
    readings = [int(each) for each in endings if each.isdigit()]
    assert reach(text) == max((each for each in readings if each <= LARGEST_NONCE), default=0)


def test_nanoseconds_can_be_read_in_one_way_only() -> None:
    for before in ("0xab", "0xab1", "0xab12"):
        now = 1_790_000_000_000_000_000
        assert not SignedText.of(f"{before}{now}").ambiguous(now)
    assert SignedText.of("0xab11790000000000").ambiguous(1_790_000_000_000)
