"""One service for all tests of its description."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from described_service import running
from support.service import Service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("openapi")) as service:
        yield service
