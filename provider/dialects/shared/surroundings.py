"""What a dialect stands on beside the use cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compute.store.base import Database
from provider.auditing.trail import Trail
from provider.keys import ProviderKey
from provider.sharing.leases import Leases


@dataclass(frozen=True, slots=True)
class SiblingSurroundings:
    """``uploads`` is a folder for files that are being taken in, of this process alone once its
    dialects are open; it lies on the same disk as the jobs' folders in ``data_dir``. ``now`` is
    in seconds since the epoch. ``leases`` are turns at what one process may do at a time."""

    database: Database
    uploads: Path
    data_dir: Path
    key: ProviderKey
    now: Callable[[], float]
    leases: Leases
    trail: Trail | None = None

    @property
    def shared(self) -> bool:
        """Whether other processes answer, too."""
        return self.leases.shared
