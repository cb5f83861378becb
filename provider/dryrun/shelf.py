"""What was asked of providers once, kept in the person's cache folder, so that the next dry run
asks nobody. Nothing in here is secret. Files are written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provider import bounded_json

_NAME_DIGITS = 32
_DEPTH = bounded_json.DOCUMENT_DEPTH + 8
"""An answer, and what is around it here."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A document and when it was told, in seconds since the epoch."""

    document: Any
    at: float


class Shelf:
    """A folder of documents by kind and name. Blocking, but they are small."""

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now

    def find(self, kind: str, name: str) -> Kept | None:
        """None for one that is not there or cannot be read."""
        try:
            text = self.path(kind, name).read_text(encoding="utf-8")
            kept = bounded_json.loads(text, max_depth=_DEPTH)
            if kept["name"] == name and math.isfinite(at := float(kept["at"])):
                return Kept(kept["document"], at)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def keep(self, kind: str, name: str, document: Any) -> Kept:
        """Raises OSError."""
        kept = Kept(document, self._now())
        path = self.path(kind, name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        text = json.dumps({"name": name, "at": kept.at, "document": document})
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
        return kept

    def path(self, kind: str, name: str) -> Path:
        return self._folder / kind / f"{_digest(name)}.json"

    def folder(self, kind: str, name: str) -> Path:
        """Where files that belong to a name lie."""
        return self._folder / kind / _digest(name)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:_NAME_DIGITS]


def cache_folder(home: Path | None) -> Path:
    """Where all of this lies: below ``XDG_CACHE_HOME``, else ``~/.cache``."""
    return (home or Path.home() / ".cache") / "ocean-compute"


def age(seconds: float) -> str:
    """How long ago something was, in words. Pure."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // size)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
