"""What is imported for good is left alone by the garbage collector, which works on after that."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from provider.memory import imports_kept, settle_memory


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """As it was, for the other tests."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


def test_nothing_is_collected_while_modules_are_imported() -> None:
    with imports_kept():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count()


def test_a_module_that_cannot_be_imported_leaves_the_collector_at_work() -> None:
    with pytest.raises(ImportError), imports_kept():
        raise ImportError
    assert gc.isenabled()


def test_after_a_start_what_exists_is_not_looked_at_again() -> None:
    kept = [[]]
    settle_memory()
    assert gc.isenabled()
    assert not any(found is kept for found in gc.get_objects())
