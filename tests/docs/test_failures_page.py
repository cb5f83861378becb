"""The page about failures is what the table in the code says."""

from __future__ import annotations

import runpy
from pathlib import Path

from compute.cards import TABLE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "failures.md").read_text()


def test_the_page_is_what_is_generated() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "failures_page.py"))["page"]()
    assert made == PAGE, "run: make failures-page"


def test_each_way_to_fail_has_its_heading() -> None:
    for entry in TABLE:
        numbers = ", ".join(str(phase.number) for phase in entry.phases)
        assert f"\n### {numbers} `{entry.reason}`\n" in PAGE
