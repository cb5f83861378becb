"""The ``labelling`` section of the dialects file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from provider.dialects.shared.sections import CommandLine, DialectSection, ImageName

DEFAULT_QUEUE = "queue1"

_SITE = re.compile(r"\*|[A-Za-z0-9.:*?-]{1,253}:[0-9*?]{1,5}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_ADDRESSES = re.compile(r"(?=.*[0-9:])[0-9.*?]+|[0-9a-f.:*?]*:[0-9a-f.:*?]*")
_COLUMN = re.compile(r"[A-Za-z0-9_]{1,64}")


def _site(text: str) -> str:
    if not _SITE.fullmatch(text):
        raise ValueError('write a site as host:port, shell patterns allowed, or "*" for all')
    return text.lower()


def _column(text: str) -> str:
    if not _COLUMN.fullmatch(text):
        raise ValueError("write the name of a column: letters, digits and _")
    return text


class LabellingSettings(DialectSection):
    """``image`` labels, run by ``entrypoint`` or, where that is empty, by its own.

    ``queues`` maps the wire's queues to environments; ``queue1``, which clients name when they
    do not choose, is the section's environment unless it is mapped too. ``sites`` are the
    databases that tasks may reach, as patterns over ``host:port``; none are when it is empty.
    ``files`` are SQLite databases by the name that clients use. ``idColumn`` and ``timeColumn``
    are those of all input tables; a table is read ``batchRows`` rows at a time.
    """

    mount: str = "/labelling"
    image: ImageName
    entrypoint: CommandLine = ""
    queues: Mapping[str, str] = Field(default_factory=dict)
    sites: tuple[Annotated[str, AfterValidator(_site)], ...] = Field(default=(), strict=False)
    files: Mapping[str, Annotated[Path, Field(strict=False)]] = Field(default_factory=dict)
    idColumn: Annotated[str, AfterValidator(_column)] = "id"
    timeColumn: Annotated[str, AfterValidator(_column)] = "post_time"
    batchRows: Annotated[int, Field(ge=1, le=100_000)] = 1000

    @field_validator("files")
    @classmethod
    def _files_are_there(cls, files: Mapping[str, Path]) -> Mapping[str, Path]:
        for name, path in files.items():
            if not _FILE.fullmatch(name):
                raise ValueError(f"{name!r} is no name; write letters, digits, '.', '_' and '-'")
            if not path.is_file():
                raise ValueError(f"{name}: there is no file {path}; write where it lies")
        return files

    def named_environments(self) -> Mapping[str, str]:
        further = {f"queues.{queue}": each for queue, each in self.queues.items()}
        return {**super().named_environments(), **further}

    def environment_of(self, queue: str) -> str | None:
        """The environment of a queue; None for a queue that there is not."""
        return {DEFAULT_QUEUE: self.environment, **self.queues}.get(queue)

    def admits_site(self, host: str, port: int) -> bool:
        """True when tasks may reach this database. Host and port are held against their own
        parts of a pattern, so that a wildcard does not reach from one into the other."""
        return any(
            pattern == "*" or _matches(pattern, host.lower(), str(port)) for pattern in self.sites
        )


def _matches(pattern: str, host: str, port: str) -> bool:
    """A pattern over addresses, such as ``10.0.*``, admits addresses alone: whoever has a domain
    can make a name that begins like one and leads anywhere."""
    hosts, _, ports = pattern.rpartition(":")
    if _ADDRESSES.fullmatch(hosts) and not _is_address(host):
        return False
    return fnmatchcase(host, hosts) and fnmatchcase(port, ports)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
