"""Fixtures of the tests with real clients."""

from __future__ import annotations

from live_market import market

__all__ = ["market"]
