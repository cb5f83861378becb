"""What is known of the request that is being answered, gathered while it is checked.

The guard of HTTP begins one for each request; who is asking is added once it is proven, what
for once it is read. What the request uses up (a nonce, a name) commits with the record that is
made of it. Facts are kept here and not handed from call to call, since refusals are raised
where nobody knows all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from typing import Any


class Asking:
    """``kind`` is what is asked for, "" until that is known; ``actor`` who asks, "" until it is
    proven. ``address`` is the client's. ``jobs`` are those that it is about, ``details`` hold no
    text that was not looked at."""

    __slots__ = ("actor", "address", "details", "jobs", "kind", "request")

    def __init__(self, request: str = "", address: str = "") -> None:
        self.request = request
        self.address = address
        self.actor = ""
        self.kind = ""
        self.jobs: Sequence[str] = ()
        self.details: dict[str, Any] = {}

    def about(self, kind: str, *jobs: str, **details: Any) -> None:
        """What is asked for; what was said of something else goes."""
        if kind != self.kind:
            self.kind, self.jobs, self.details = kind, (), {}
        self.jobs = jobs or self.jobs
        self.details |= details


KINDS: Mapping[str, str] = {
    "computeStart": "start",
    "computeStatus": "status",
    "computeStop": "stop",
    "computeDelete": "delete",
    "computeResult": "result",
    "computeReceipt": "receipt",
    "computeStreamableLogs": "log",
    "createAuthToken": "token_created",
    "deleteAuthToken": "token_deleted",
}
"""Kinds by the names of signed operations; those that are missing are called the same."""

_current: ContextVar[Asking] = ContextVar("asking")


def begin(request: str, address: str) -> Token[Asking]:
    """A request begins; hand what this returns to :func:`end`."""
    return _current.set(Asking(request, address))


def end(token: Token[Asking]) -> None:
    _current.reset(token)


def asking() -> Asking:
    """Of the request that this runs for; one that nobody asks where there is none."""
    found = _current.get(None)
    if found is None:
        found = Asking()
        _current.set(found)
    return found
