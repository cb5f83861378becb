"""One real service whose environments are tried, a cache folder, and what a screen was told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.service import IMAGE, Service, dataset_document

from compute.models import Job
from provider.dryrun.making import Asked, try_out
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tried(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A running service."""
    service = Service(tmp_path_factory.mktemp("service") / "tried")
    service.environments({"egress": {"noInputCopies": True, "maxFiles": 10}}, {"id": "other"})
    service.publish(dataset_document(SAMPLED, FILE, sample=[{**FILE[0], "path": "few.csv"}]))
    service.publish(dataset_document(RULED, FILE, egress={"maxRows": 2}))
    (service.root / "files" / "few.csv").write_text("a,b\n7,7\n")
    await service.start()
    yield service
    assert service.stop() == 0, service.log()
    assert not service.leftovers()


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


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(ENVIRONMENTS)
    return path


Try = Callable[..., Coroutine[Any, Any, tuple[Report, Seen]]]


@pytest.fixture
def attempt(tmp_path: Path, rows: Path, cache: Path, own_file: Path, checksum: str) -> Try:
    """Tries a script, by default in an environment of one's own on the file of rows."""

    async def attempting(code: str, **changes: Any) -> tuple[Report, Seen]:
        script, seen = tmp_path / "algorithm.sh", Seen()
        script.write_text(code)
        values: dict[str, Any] = {
            "algorithm": str(script),
            "inputs": (str(rows),),
            "environment": "plain",
            "image": IMAGE,
            "tag": "1",
            "checksum": checksum,
            "environments_file": own_file,
            "cache": cache,
            **changes,
        }
        return await try_out(Asked(**values), seen.screen()), seen

    return attempting


def statement_in(envelope: bytes) -> Any:
    """What a receipt states."""
    import base64

    return json.loads(base64.b64decode(json.loads(envelope)["payload"]))
