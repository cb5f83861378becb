"""What the registry holds. Pure."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_NAME = 100
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Kind(StrEnum):
    """A kind of item; its value is the name of the folder of its contents."""

    PIPELINE = "pipelines"
    DATASET = "datasets"
    CONFIG = "configs"
    BUILD_FILE = "build_files"
    MODEL = "models"

    @property
    def noun(self) -> str:
        return self.value.removesuffix("s").replace("_", " ")


WITH_CONTENT = frozenset(Kind) - {Kind.PIPELINE}


class ItemState(StrEnum):
    """Whether the item can be used: it can, a task is still making it, it never will."""

    READY = "ready"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an item: how many, and their SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Item:
    """One row. Within its ``space`` everybody sees it, outside of it nobody does.

    ``owner`` made it, at ``created_at`` (seconds since the epoch). ``pipeline_uid`` is where it
    belongs, empty for a pipeline. ``details`` are what its kind has beside: texts by name.
    ``task_uid`` names the task that makes it, empty for one that was handed in; ``reason`` says
    why that one failed. ``content`` is None for a pipeline, and as long as there is none.
    """

    uid: str
    kind: Kind
    space: str
    owner: str
    name: str
    created_at: float
    description: str = ""
    pipeline_uid: str = ""
    extension: str = ""
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    state: ItemState = ItemState.READY
    reason: str = ""
    task_uid: str = ""
    content: Content | None = None

    @property
    def file_name(self) -> str:
        """What its content is called: made of the name, safe as the name of a file."""
        stem = _UNSAFE.sub("_", self.name)[:_MOST_NAME].strip("._-") or self.uid
        return f"{stem}.{self.extension}" if self.extension else stem


def new_uid() -> str:
    """A UID for an item to come."""
    return str(uuid.uuid4())


def is_uid(text: str) -> bool:
    """Whether this is a UID as they are written here, in small letters."""
    return _UID.fullmatch(text) is not None
