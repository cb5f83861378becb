"""Whom a request comes from: tables of headers, and who may write them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from provider.addresses import (
    TRUSTED_PROXIES,
    client_address,
    client_scheme,
    is_direct,
    neighbourhood,
    region,
)

Headers = list[tuple[str, str]]
PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48", "127.0.0.0/8")


class Peer:
    """The other end of a connection."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self.address, 4711) if name == "peername" else default


def request(peer: str, headers: Headers, trusted: tuple[str, ...] = PROXIES) -> web.Request:
    app = web.Application()
    app[TRUSTED_PROXIES] = tuple(ip_network(each) for each in trusted)
    return make_mocked_request("GET", "/", CIMultiDict(headers), app=app, transport=Peer(peer))


FOR = "X-Forwarded-For"


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", [(FOR, "203.0.113.7")], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [(FOR, "203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [(FOR, "1.1.1.1, 203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [(FOR, "1.1.1.1"), (FOR, "203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [(FOR, "1.1.1.1, 203.0.113.7, 10.9.9.9,10.0.0.2")], "203.0.113.7"),
        ("10.0.0.1", [(FOR, "10.9.9.9, 10.0.0.2")], "10.9.9.9"),
        ("10.0.0.1", [(FOR, "203.0.113.7:1234")], "203.0.113.7"),
        ("10.0.0.1", [(FOR, "2001:db8::7")], "2001:db8::7"),
        ("10.0.0.1", [(FOR, "[2001:db8::7]:443")], "2001:db8::7"),
        ("10.0.0.1", [(FOR, "::ffff:203.0.113.7")], "203.0.113.7"),
        ("::ffff:10.0.0.1", [(FOR, "203.0.113.7")], "203.0.113.7"),
        ("2001:db8:ffff::1", [(FOR, "203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [(FOR, "203.0.113.7, unknown")], "10.0.0.1"),
        ("10.0.0.1", [(FOR, "203.0.113.7, x, 10.0.0.2")], "10.0.0.2"),
        ("10.0.0.1", [(FOR, "")], "10.0.0.1"),
        ("10.0.0.1", [(FOR, "203.0.113.7, ")], "10.0.0.1"),
        ("10.0.0.1", [("Forwarded", "for=203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [("Forwarded", 'for="[2001:db8::7]:80";proto=https')], "2001:db8::7"),
        ("10.0.0.1", [("Forwarded", "for=1.1.1.1, For=203.0.113.7;by=10.0.0.1")], "203.0.113.7"),
        ("10.0.0.1", [("Forwarded", "for=1.1.1.1, for=_hidden")], "10.0.0.1"),
        ("10.0.0.1", [("Forwarded", "by=10.0.0.1")], "10.0.0.1"),
        ("10.0.0.1", [("Forwarded", 'for="1.1.1.1, for=2.2.2.2"')], "10.0.0.1"),
        ("10.0.0.1", [(FOR, "1.1.1.1"), ("Forwarded", "for=1.1.1.1")], "1.1.1.1"),
        ("10.0.0.1", [(FOR, "1.1.1.1"), ("Forwarded", "for=8.8.8.8")], "10.0.0.1"),
        ("127.0.0.1", [(FOR, "127.0.0.1")], "127.0.0.1"),
        ("10.0.0.1", [(FOR, "1.1.1.1, " + "10.0.0.2, " * 40 + "10.0.0.2")], "10.0.0.2"),
    ],
)
def test_the_right_most_that_is_no_trusted_proxy(peer: str, headers: Headers, client: str) -> None:
    assert client_address(request(peer, headers)) == client


def test_without_trusted_proxies_no_header_counts() -> None:
    spoofed: Headers = [(FOR, "127.0.0.1"), ("Forwarded", "for=127.0.0.1;proto=https")]
    plain = request("198.51.100.1", [*spoofed, ("X-Forwarded-Proto", "https")], trusted=())
    assert client_address(plain) == "198.51.100.1"
    assert client_scheme(plain) == "http"


@pytest.mark.parametrize(
    ("peer", "headers", "scheme"),
    [
        ("10.0.0.1", [("X-Forwarded-Proto", "https")], "https"),
        ("10.0.0.1", [("X-Forwarded-Proto", "http, HTTPS")], "https"),
        ("10.0.0.1", [("Forwarded", "for=1.1.1.1;proto=https")], "https"),
        ("10.0.0.1", [("X-Forwarded-Proto", "gopher")], "http"),
        ("198.51.100.1", [("X-Forwarded-Proto", "https")], "http"),
    ],
)
def test_the_scheme_that_a_trusted_proxy_was_spoken_to_in(
    peer: str, headers: Headers, scheme: str
) -> None:
    assert client_scheme(request(peer, headers)) == scheme


@pytest.mark.parametrize(
    ("peer", "headers", "direct"),
    [
        ("127.0.0.1", [], False),
        ("198.51.100.1", [], True),
        ("198.51.100.1", [("Via", "1.1 x")], False),
        ("198.51.100.1", [("x-forwarded-host", "x")], False),
    ],
)
def test_who_comes_through_a_proxy_is_not_direct(peer: str, headers: Headers, direct: bool) -> None:
    assert is_direct(request(peer, headers)) is direct


@pytest.mark.parametrize(
    ("address", "shared", "around"),
    [
        ("203.0.113.7", "203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/48"),
        ("", "", ""),
    ],
)
def test_what_shares_one_limit(address: str, shared: str, around: str) -> None:
    assert neighbourhood(address) == shared
    assert region(address) == around
