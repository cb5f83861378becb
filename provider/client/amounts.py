"""Amounts of tokens for people: base units are exact, whole tokens can be judged."""

from __future__ import annotations


def in_tokens(amount: int, decimals: int) -> str:
    """So many base units as a number of whole tokens, exactly."""
    whole, part = divmod(amount, 10**decimals)
    behind = f"{part:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{whole}.{behind}" if behind else str(whole)


def shown(amount: int, token: str, decimals: int | None) -> str:
    """An amount with its token; in whole tokens too where ``decimals`` is known."""
    text = f"{amount} base units of {token}"
    return text if decimals is None else f"{text} ({in_tokens(amount, decimals)} whole tokens)"
