"""Which addresses are public, and which spellings of an address are accepted."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from provider.assets.addresses import is_public, literal, may_connect, networks

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.171",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:808:808::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_not_public(text: str) -> None:
    assert not is_public(ip_address(text))
    assert not may_connect(ip_address(text), ())


@pytest.mark.parametrize(
    ("text", "allowed", "may"),
    [
        ("10.1.2.3", ["10.1.0.0/16"], True),
        ("10.2.2.3", ["10.1.0.0/16"], False),
        ("::ffff:10.1.2.3", ["10.1.0.0/16"], True),
        ("::ffff:127.0.0.1", ["10.1.0.0/16"], False),
        ("fd00::1", ["fd00::/8"], True),
        ("fd00::1", ["0.0.0.0/0"], False),
        ("127.0.0.1", ["::/0"], False),
        ("8.8.8.8", ["10.0.0.0/8"], True),
        ("fe80::1%eth0", ["fe80::/10"], False),
    ],
)
def test_an_operator_opens_networks(text: str, allowed: list[str], may: bool) -> None:
    assert may_connect(ip_address(text), networks(allowed)) is may


@pytest.mark.parametrize("text", ["10.0.0.1/8", "ten", "10.0.0.0/33"])
def test_a_malformed_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        networks([text])


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("::1", "::1"),
        ("::ffff:7f00:1", "::ffff:127.0.0.1"),
    ],
)
def test_plain_addresses_are_read(host: str, address: str) -> None:
    assert literal(host) == ip_address(address)


@pytest.mark.parametrize("host", ["example.com", "localhost", "1.example.com", "0xcafe.com", "a"])
def test_names_are_names(host: str) -> None:
    assert literal(host) is None


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "134744072",
        "0x7f000001",
        "0X7F000001",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "0",
        "0x7f.1",
        "127.000.000.001",
        "fe80::1%25eth0",
        "1.2.3.4%25",
    ],
)
def test_other_spellings_are_refused(host: str) -> None:
    try:
        address = literal(host)
    except ValueError:
        return
    assert address is not None
    assert not may_connect(address, networks(["0.0.0.0/0", "::/0"]))
