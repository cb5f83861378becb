"""What tests of orders share."""

from __future__ import annotations

import pytest
from order_samples import Shop
from support.devchain import devchain

__all__ = ["devchain"]


@pytest.fixture
def shop() -> Shop:
    return Shop()
