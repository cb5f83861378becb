"""The schema of the upper floor, step by step; a branch of its own beside compute's.

One file a step, named ``<revision>_<what>.py``; the greatest revision is the head.
"""

from __future__ import annotations

from pathlib import Path

VERSIONS = Path(__file__).parent
"""To be handed to :func:`compute.store.database.open_database`."""
