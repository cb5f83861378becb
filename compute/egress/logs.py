"""How much of a log may leave: its first bytes. Blocking."""

from __future__ import annotations

import os
from pathlib import Path


def shorten(folder: Path, most: int | None) -> None:
    """Cut each log in the folder to its first ``most`` bytes, None for no limit."""
    if most is None or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_file() or path.stat().st_size <= most:
            continue
        # A filter may have made it read-only, and a hard link to something of its own.
        os.truncate(path, most)
