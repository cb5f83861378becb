"""One request of a chain of redirects, and which one follows it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urldefrag

from yarl import URL

from compute.errors import InputUnavailable

REDIRECTS = frozenset({301, 302, 303, 307, 308})
BECOMES_GET = frozenset({301, 302, 303})
NOT_ALLOWED = "The address of this input is not allowed."


@dataclass(frozen=True, slots=True, repr=False)
class Hop:
    """One request of a chain of redirects."""

    url: URL
    method: str
    headers: Mapping[str, str]
    body: bytes | None


def parsed(text: str) -> URL:
    """A URL exactly as written, since signed URLs break when requoted; no fragment.

    Raises InputUnavailable.
    """
    try:
        url = URL(urldefrag(text).url, encoded=text.isascii() and _is_visible(text))
        if url.raw_host is None or url.port is None or 0 <= url.port <= 65535:
            return url
    except ValueError:
        pass
    raise InputUnavailable("The address of this input is not a URL.")


def next_hop(hop: Hop, status: int, location: str | None) -> Hop:
    """The request that a redirect asks for.

    Headers may hold the publisher's secrets, so they stay with the origin they were given
    for. Raises InputUnavailable, also for a step from https to http.
    """
    if not location:
        raise InputUnavailable("The origin of this input redirects to nowhere.")
    try:
        target = hop.url.join(parsed(location))
    except ValueError:
        raise InputUnavailable(NOT_ALLOWED) from None
    if hop.url.scheme == "https" and target.scheme != "https":
        raise InputUnavailable("The origin of this input redirects to an unprotected address.")
    following = replace(
        hop, url=target, headers=hop.headers if _origin(target) == _origin(hop.url) else {}
    )
    if status in BECOMES_GET and hop.method != "GET":
        return replace(following, method="GET", body=None)
    return following


def _is_visible(text: str) -> bool:
    return text.isprintable() and " " not in text


def _origin(url: URL) -> tuple[str, str, int | None]:
    return url.scheme, (url.raw_host or "").lower(), url.port
