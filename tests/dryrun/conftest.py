"""One real service whose environments are tried, a cache folder, and a way to try a script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.service import IMAGE, Service, dataset_document
from tried import ENVIRONMENTS, FILE, RULED, SAMPLED, Seen, Try

from provider.dryrun.making import Asked, try_out
from provider.dryrun.report import Report


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
