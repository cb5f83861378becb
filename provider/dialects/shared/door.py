"""Who may come in to an API whose wire knows no wallet.

With keys, whoever has one. Without keys, clients on this machine that speak to it directly,
which an address alone does not show:

- A reverse proxy on this machine connects from the loopback for the whole world. So whatever
  bears the mark of a proxy is refused: its headers, a ``Host`` that is no name of the
  loopback, and HTTP/1.0, which nothing else speaks and which is the only mark that some leave.
- A web page that somebody on this machine looks at has his browser send what it likes. So
  requests that a browser says come from another site are refused, and by the ``Host`` also
  those of a page whose own name was pointed at the loopback (DNS rebinding).

What cannot be seen is a plain forwarding of TCP connections to the loopback, which somebody on
this machine has to set up on purpose.

An open API without keys serves everybody, but no web pages of others: who may reach it from
the inside of a network should not do so for whoever writes a page that is read there.
Programs do not notice. With keys none of this is asked, for a page does not know the key.

A key comes as ``Authorization: Bearer KEY``, as the password of ``Authorization: Basic``, which
unchanged clients send for an address of the form ``http://name:KEY@host/``, or as
``X-Api-Key: KEY``. Never in a query, since these are written to the logs of proxies.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import HttpVersion11, web

from provider.addresses import client_address, is_direct, is_loopback
from provider.apikeys import KeyRing
from provider.errors import KeyWrong, NotAllowed, NotLocal
from provider.limits import LIMITER

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,255})(?::[0-9]{1,5})?")
_OWN_SITES: Final = frozenset({"same-origin", "same-site", "none"})


class Door:
    """The door of one API, ``name``; ``everyone`` is let in where there are no keys, if the
    operator said so."""

    def __init__(self, name: str, ring: KeyRing, everyone: bool = False) -> None:
        self.name = name
        self.ring = ring
        self._everyone = everyone

    @property
    def reach(self) -> str:
        """Who is let in, in one word: keys, everyone or loopback."""
        if len(self.ring):
            return "keys"
        return "everyone" if self._everyone else "loopback"

    async def admit(self, request: web.Request) -> str:
        """The name of the key that the request came with, "" where none is needed. Raises
        KeyWrong, NotLocal, NotAllowed, TooManyChecks, TooManyRequests."""
        if len(self.ring):
            claimed, key = _shown(request.headers)
            name = await self.ring.name_of(key, claimed)
            if name is None:
                raise KeyWrong
            if (limiter := request.app.get(LIMITER)) is not None:
                limiter.admit_wallet(f"{self.name}:{name}")
            return name
        if self._everyone:
            _require_no_strange_page(request)
        elif not _is_local(request):
            raise NotLocal
        return ""


def _shown(headers: Mapping[str, str]) -> tuple[str, str]:
    """Who the bearer says he is, and the key; empty where there is none. The API itself may
    use ``Authorization`` for something else, so that a header of the key's own comes first."""
    if given := headers.get("X-Api-Key", ""):
        return "", given
    scheme, _, credentials = headers.get("Authorization", "").partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return "", credentials
    if scheme.lower() == "basic":
        try:
            text = base64.b64decode(credentials, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            return "", ""
        name, _, key = text.partition(":")
        return name, key
    return "", ""


def _is_local(request: web.Request) -> bool:
    transport = request.transport
    return (
        transport is not None
        and _is_loopback(transport.get_extra_info("peername"))
        and _is_loopback(transport.get_extra_info("sockname"))
        and request.version >= HttpVersion11
        and is_loopback(client_address(request))
        and is_direct(request)
        and _names_loopback(request.host)
        and all(map(_names_loopback, request.headers.getall("Host", ["none"])))
        and all(map(_is_local_page, request.headers.getall("Origin", ())))
        and _is_from_own_sites(request)
    )


def _is_loopback(address: Any) -> bool:
    """Of a socket's address: a pair or more for IP, a text for others."""
    return isinstance(address, tuple) and is_loopback(str(address[0]))


def _names_loopback(host: str) -> bool:
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found[1].lower()
    return name == "localhost" or is_loopback(name.strip("[]"))


def _is_local_page(origin: str) -> bool:
    return _names_loopback(_authority(origin))


def _is_from_own_sites(request: web.Request) -> bool:
    return _OWN_SITES.issuperset(request.headers.getall("Sec-Fetch-Site", ()))


def _require_no_strange_page(request: web.Request) -> None:
    own = request.headers.get("Host", "").lower()
    pages = [_authority(each).lower() for each in request.headers.getall("Origin", ())]
    if not _is_from_own_sites(request) or any(page != own or not page for page in pages):
        raise NotAllowed("Web pages of others may not use this API, since it asks for no key.")


def _authority(origin: str) -> str:
    """The host and port of a page's origin; "" for one that has none (``null``)."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    return parts.netloc if parts.scheme in {"http", "https"} else ""
