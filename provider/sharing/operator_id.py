"""The name that this installation's containers carry.

Kept with the data, so that a restart finds its own, several processes have one, and two
services on one engine never touch each other's.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_FILE = "operator-id"


def operator_id(data_dir: Path) -> str:
    """The name; made, once for all processes and whole on disk, where there is none yet.
    Raises OSError."""
    path = data_dir / _FILE
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        _make(path)
    return path.read_text(encoding="ascii").strip()


def _make(path: Path) -> None:
    """A link is made only where there is nothing, so the first process wins; and what it
    names is written already, so nobody reads half of it."""
    draft = path.with_name(f"{_FILE}.{secrets.token_hex(8)}")
    try:
        with draft.open("x", encoding="ascii") as file:
            file.write(secrets.token_hex(8) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
