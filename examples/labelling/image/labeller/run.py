"""The labelling itself: batch by batch read, matched, written, reported."""

from __future__ import annotations

import time
from typing import Any

from .ending import Ending
from .matching import Matcher
from .report import Report
from .site import Site, labelled_row
from .task import Task

_LEAST_S = 5.0
_SHARE = 20


def label_rows(task: Task, site: Site, match: Matcher, report: Report, ending: Ending) -> None:
    """Label all rows in the range. May be repeated: what a former run wrote goes first."""
    site.forget()
    report.write()
    authors = _Authors(site, report)
    last: Any = None
    for batch in site.batches():
        rows = [
            labelled_row(task, row, label, matched)
            for row in batch
            for label, matched in match(row)
        ]
        last = batch[-1][task.time_column]
        with ending.held():
            site.write(rows)
            report.add(task.output_table, len(batch), rows)
            report.check_point = str(last).replace(" ", "T")
            report.write()
        if authors.count(last):
            report.write()
    if last is not None:
        authors.count(last, final=True)
    report.check_point = None
    report.write()


class _Authors:
    """Counted by the database, which can do so in bounded memory; now and then, since that
    means reading all so far: at most a twentieth of the time."""

    def __init__(self, site: Site, report: Report) -> None:
        self._site = site
        self._report = report
        self._due = 0.0

    def count(self, until: Any, *, final: bool = False) -> bool:
        """True when they were counted anew."""
        if not final and time.monotonic() < self._due:
            return False
        started = time.monotonic()
        self._report.authors = self._site.authors(until)
        if self._report.labelled:
            self._report.labelled_authors = self._site.labelled_authors()
        ended = time.monotonic()
        self._due = ended + max(_LEAST_S, _SHARE * (ended - started))
        return True
