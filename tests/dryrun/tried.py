"""What tests of dry runs share: names, and what a screen was told."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from compute.models import Job
from provider.dryrun.report import Report
from provider.dryrun.running import Screen

SAMPLED = "did:op:" + "5a" * 32
RULED = "did:op:" + "51" * 32
"""Its owner lets out no more than a file of two lines."""

FILE = [{"type": "localfile", "path": "rows.csv"}]
ENVIRONMENTS = """
environments:
  - id: plain
    ramGB: 0.25
    diskGB: 0.03
    maxJobDuration: 60
    images: {allow: ["*", "localhost:9/*"]}
  - {id: narrow, ramGB: 0.03, diskGB: 0.03, maxJobDuration: 60}
  - id: strict
    ramGB: 0.25
    diskGB: 0.03
    egress: {noInputCopies: true}
  - id: reviewed
    ramGB: 0.25
    diskGB: 0.03
    egress: {hold: always, reviewers: ["0x00000000000000000000000000000000000000aa"]}
"""


@dataclass
class Seen:
    """What a screen was told."""

    numbers: list[int] = field(default_factory=list)
    printed: bytes = b""
    said: list[str] = field(default_factory=list)

    def moved(self, job: Job, note: str) -> None:
        if not self.numbers or self.numbers[-1] != job.phase.number:
            self.numbers.append(job.phase.number)

    def shown(self, piece: bytes) -> None:
        self.printed += piece

    def screen(self) -> Screen:
        return Screen(self.moved, self.shown, self.said.append)


Try = Callable[..., Coroutine[Any, Any, tuple[Report, Seen]]]


def statement_in(envelope: bytes) -> Any:
    """What a receipt states."""
    return json.loads(base64.b64decode(json.loads(envelope)["payload"]))
