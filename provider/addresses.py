"""From where a request comes: the one answer for rates, doors and records.

The other end of the connection says it, unless that is a reverse proxy that the operator
trusts (``TRUSTED_PROXIES``). Then the proxy's header does: of the addresses in
``X-Forwarded-For`` or ``Forwarded`` (RFC 7239) the right-most that is no trusted proxy's. What
stands left of it was written by who knows whom. Headers of anybody else say nothing.

A proxy writes one of the two headers and may pass on the other as it came. So where both are
there and do not agree, neither counts, and neither does one that cannot be read: the request
then comes from the proxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

TRUSTED_PROXIES = web.AppKey("trusted_proxies", tuple[Network, ...])

_CLIENT = web.RequestKey("client", str)
_TRUSTED = web.RequestKey("trusted_proxies", tuple[Network, ...])
_MOST_HOPS: Final = 32
_V6_BITS: Final = 64
"""What one customer of a network is given at least."""

_V6_REGION_BITS: Final = 48
"""What he is given on demand: 65,536 of the former."""

_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?")
_WITH_PORT: Final = re.compile(r"([0-9.]{7,15}):[0-9]{1,5}")
_PAIR: Final = re.compile(r'\s*([A-Za-z]+)\s*=\s*(?:"([^"\\]*)"|([^\s;,"]*))\s*')
_OF_PROXIES: Final = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-host",
        "x-original-forwarded-for",
        "x-remote-ip",
        "x-remote-addr",
        "client-ip",
        "true-client-ip",
        "cdn-loop",
        "cf-connecting-ip",
        "cf-ray",
        "fastly-client-ip",
        "max-forwards",
        "proxy-connection",
        "proxy-authorization",
    }
)
_OF_PROXIES_BEGIN: Final = ("x-forwarded", "x-envoy-", "x-proxied-", "x-proxyuser-")


def client_address(request: web.BaseRequest) -> str:
    """The client's address as text; "" where there is none, as on a unix socket. Several ask
    for it while a request is answered: it is worked out once."""
    try:
        return request[_CLIENT]
    except KeyError:
        address = request[_CLIENT] = _client_address(request)
        return address


def is_hidden(request: web.BaseRequest) -> bool:
    """Whether a trusted proxy's headers speak of a client and do not tell which: he may be
    anybody, and may have seen to that himself."""
    trusted = _trusted(request)
    if not trusted or not is_trusted(request.remote or "", trusted):
        return False
    told = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    return told and not _forwarded_for(request, trusted)


def is_by_trusted_proxy(request: web.BaseRequest) -> bool:
    """Whether a trusted proxy stands at the other end of the connection."""
    trusted = _trusted(request)
    return bool(trusted) and is_trusted(request.remote or "", trusted)


def client_scheme(request: web.BaseRequest) -> str:
    """``http`` or ``https``: as the client spoke to the proxy, if that is trusted."""
    if is_by_trusted_proxy(request):
        given = request.headers.getall("X-Forwarded-Proto", [])
        named = [each.rpartition(",")[2].strip().lower() for each in given[-1:]]
        named += [each.get("proto", "").lower() for each in _elements(request)[-1:]]
        for scheme in named:
            if scheme in {"http", "https"}:
                return scheme
    return request.scheme


def is_direct(request: web.BaseRequest) -> bool:
    """Whether nothing shows that a proxy stands in between: no trusted one at the other end,
    and no header of any."""
    if is_by_trusted_proxy(request):
        return False
    return not any(map(_is_of_a_proxy, request.headers))


def is_loopback(address: str) -> bool:
    """Whether this is an address of a machine's own loopback, in any notation."""
    found = _read(address)
    return found is not None and found.is_loopback


@lru_cache(maxsize=4096)
def is_private(address: str) -> bool:
    """Whether no route of the public network leads to it; the loopback is such an address."""
    found = _read(address)
    return found is not None and found.is_private


@lru_cache(maxsize=4096)
def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks."""
    found = _read(address)
    return found is not None and any(found in network for network in trusted)


@lru_cache(maxsize=4096)
def neighbourhood(address: str) -> str:
    """What shares one limit: an address of IPv4, the first 64 bits of one of IPv6."""
    return _network(address, _V6_BITS)


@lru_cache(maxsize=4096)
def region(address: str) -> str:
    """What may be one customer's as a whole: an address of IPv4, the first 48 bits of one of
    IPv6."""
    return _network(address, _V6_REGION_BITS)


def _client_address(request: web.BaseRequest) -> str:
    peer = request.remote or ""
    trusted = _trusted(request)
    if not trusted or not is_trusted(peer, trusted):
        return peer
    return _forwarded_for(request, trusted) or peer


def _network(address: str, bits: int) -> str:
    found = _read(address)
    if isinstance(found, IPv6Address):
        hidden = found.max_prefixlen - bits
        return str(IPv6Network((int(found) >> hidden << hidden, bits)))
    return address if found is None else str(found)


def _trusted(request: web.BaseRequest) -> tuple[Network, ...]:
    """Asked for several times while a request is answered, as the client's address is."""
    try:
        return request[_TRUSTED]
    except KeyError:
        known = request.app.get(TRUSTED_PROXIES, ()) if isinstance(request, web.Request) else ()
        request[_TRUSTED] = known
        return known


def _forwarded_for(request: web.BaseRequest, trusted: Sequence[Network]) -> str:
    """What the proxies' headers say, "" for nothing that counts."""
    told: set[str] = set()
    listed = request.headers.getall("X-Forwarded-For", [])
    if listed:
        told.add(_right_most(_split(listed), trusted))
    elements = _elements(request)
    if elements:
        told.add(_right_most([each.get("for", "") for each in elements], trusted))
    return told.pop() if len(told) == 1 else ""


def _split(lines: Sequence[str]) -> list[str]:
    return [part.strip() for line in lines for part in line.split(",")]


def _right_most(hops: Sequence[str], trusted: Sequence[Network]) -> str:
    """The last that is no trusted proxy's; the outermost proxy where all are; "" where one
    that matters cannot be read."""
    last = ""
    for hop in reversed(hops[-_MOST_HOPS:]):
        found = _read(_without_port(hop))
        if found is None:
            return last
        last = str(found)
        if not any(found in network for network in trusted):
            return last
    return last


def _elements(request: web.BaseRequest) -> list[dict[str, str]]:
    """The elements of ``Forwarded``, left to right; an empty one where it cannot be read."""
    found: list[dict[str, str]] = []
    for line in request.headers.getall("Forwarded", []):
        found += [dict(_pairs(element)) for element in line.split(",")]
    return found


def _pairs(element: str) -> Iterator[tuple[str, str]]:
    for part in element.split(";"):
        pair = _PAIR.fullmatch(part)
        if pair is not None:
            yield pair[1].lower(), pair[2] if pair[2] is not None else pair[3]


def _without_port(text: str) -> str:
    found = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    return found[1] if found else text


def _read(text: str) -> Address | None:
    """An address of IPv4 in IPv6's notation counts as what it is."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_of_a_proxy(header: str) -> bool:
    lower = header.lower()
    return lower in _OF_PROXIES or lower.startswith(_OF_PROXIES_BEGIN)
