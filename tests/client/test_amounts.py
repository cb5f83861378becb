"""Base units as whole tokens: exact, however long the number."""

from __future__ import annotations

import pytest

from provider.client.amounts import in_tokens, shown


@pytest.mark.parametrize(
    ("amount", "decimals", "expected"),
    [
        (0, 18, "0"),
        (1, 18, "0.000000000000000001"),
        (10**18, 18, "1"),
        (15 * 10**17, 18, "1.5"),
        (1_000_001, 6, "1.000001"),
        (100, 0, "100"),
        (2**256 - 1, 6, f"{(2**256 - 1) // 10**6}.639935"),
        (5, 255, "0." + "0" * 254 + "5"),
    ],
)
def test_whole_tokens(amount: int, decimals: int, expected: str) -> None:
    assert in_tokens(amount, decimals) == expected


def test_an_amount_with_its_token() -> None:
    assert shown(7, "0xt", None) == "7 base units of 0xt"
    assert shown(70, "0xt", 1) == "70 base units of 0xt (7 whole tokens)"
