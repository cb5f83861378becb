"""What all tests share: the real engine's image, and containers shown when a test fails."""

from __future__ import annotations

import pytest
from support.service import image_id


@pytest.fixture(scope="session")
def checksum() -> str:
    """The id of the test image, as a consumer would pin it."""
    return image_id()
