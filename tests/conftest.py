"""What all tests share: the real engine's image, and the development chain."""

from __future__ import annotations

import pytest
from support.devchain import devchain
from support.service import image_id

__all__ = ["checksum", "devchain"]


@pytest.fixture(scope="session")
def checksum() -> str:
    """The id of the test image, as a consumer would pin it."""
    return image_id()
