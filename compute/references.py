"""What the name of an image says. Pure.

Whether the first part of a name is a registry's host decides whom the engine talks to, so
the list of allowed images, the check of a request and the engine all ask this file. The
grammar and the rule are those of the distribution project's ``reference`` package, which
Docker uses; hosts in brackets (IPv6) are left out.
"""

from __future__ import annotations

import re

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_REFERENCE = re.compile(
    r"(?P<name>[^@]*?[^@:/])(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<checksum>sha256:[0-9a-f]{64}))?"
)
_LONGEST = 255
_HUB = frozenset({"docker.io", "index.docker.io"})


def is_name(text: str) -> bool:
    """True for the name of a repository, without tag and checksum."""
    return (
        len(text) <= _LONGEST
        and _NAME.fullmatch(text) is not None
        # To Docker these mean an image id, whatever repository it came from.
        and text != "sha256"
        and not _IMAGE_ID.fullmatch(text)
    )


def parsed(text: str) -> tuple[str, str, str]:
    """Name, tag and checksum of ``name``, ``name:tag``, ``name@sha256:…`` or both; empty for
    what is not there. Raises ValueError for what is no image."""
    found = _REFERENCE.fullmatch(text)
    if found is None or not is_name(found["name"]):
        raise ValueError("not an image; write name:tag or name@sha256:…")
    return found["name"], found["tag"] or "", found["checksum"] or ""


def split(name: str) -> tuple[str, str]:
    """The registry's host, empty for Docker Hub, and the path there."""
    first, slash, rest = name.partition("/")
    if not slash or not _is_host(first):
        return "", name
    return ("", rest) if first in _HUB else (first, rest)


def familiar(name: str) -> tuple[str, str]:
    """As :func:`split`, without the ``library/`` of Docker Hub's own images."""
    host, path = split(name)
    own = path.removeprefix("library/")
    return host, path if host or "/" in own else own


def _is_host(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost" or first != first.lower()
