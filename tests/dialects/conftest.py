"""What the tests of several dialects need."""

from __future__ import annotations

import pytest
from support.examples import have_images


@pytest.fixture(scope="session")
def example_images() -> None:
    """The images of the examples, and the one that they are made from."""
    have_images()
