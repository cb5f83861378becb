"""The images of the examples, made by the same script as for the demo."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def have_images() -> None:
    """Make those that are missing or older than their folders."""
    done = subprocess.run(
        [ROOT / "scripts" / "images.sh", "examples"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
