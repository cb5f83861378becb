"""Where logs began when they were first shown.

Who follows a log counts its bytes from the beginning, and goes on from there after a break.
A log that outgrows its bound loses its oldest part, and what is left must never be taken for
the whole. So the beginning is written down before the first byte is shown; as long as it is
the same, offsets are what they were. All processes that share the data folder see the marks.

A stage that nobody has looked at while it ran has no mark, and its offsets are those of the
log that was kept.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

_CUT = "cut"


class LogMarks:
    """The marks of all jobs' logs. Its methods block for a moment: run them in a thread."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "log-marks"

    def holds(self, job_id: str, stage: int, beginning: str) -> bool:
        """Mark the log if it has no mark yet; whether it began so when it was marked."""
        known = self.beginning(job_id, stage)
        if not known:
            self._write(job_id, stage, beginning)
            known = self.beginning(job_id, stage)
        return known == beginning

    def beginning(self, job_id: str, stage: int) -> str:
        """What the log began with, "" where it has no mark."""
        try:
            return (self._folder / job_id / str(stage)).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def note_cut(self, job_id: str, stage: int) -> None:
        """Write down that the log that was kept is not all that was shown."""
        folder = self._folder / job_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / f"{stage}.{_CUT}").touch()

    def is_cut(self, job_id: str, stage: int) -> bool:
        """Whether the log that was kept begins elsewhere than the one that was shown."""
        return (self._folder / job_id / f"{stage}.{_CUT}").exists()

    def forget(self, job_id: str) -> None:
        """Remove the marks of a job."""
        shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def marked(self) -> list[str]:
        """Ids of the jobs that have marks."""
        return sorted(os.listdir(self._folder)) if self._folder.is_dir() else []

    def _write(self, job_id: str, stage: int, beginning: str) -> None:
        """Whole or not at all, and only one of several who write at the same time."""
        folder = self._folder / job_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = folder / f".{uuid.uuid4().hex}"
        partial.write_text(beginning, encoding="utf-8")
        try:
            os.link(partial, folder / str(stage))
        except FileExistsError:
            pass
        finally:
            partial.unlink()
