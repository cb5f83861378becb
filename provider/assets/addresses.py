"""Which network addresses an input may be fetched from. Pure.

Only plainly public unicast addresses count; what is not known to be public is refused.
The tables are the IANA special-purpose registries (RFC 6890 and successors), written out
because the standard library's answer differs between Python versions and misses some.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
SPECIAL_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
NAT64 = IPv6Network("64:ff9b::/96")


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """CIDR texts as networks. Raises ValueError for one that is not, or has host bits."""
    return tuple(ip_network(text) for text in texts)


def is_public(address: Address) -> bool:
    """True for a globally reachable unicast address.

    An IPv4 address inside an IPv6 one (mapped, NAT64) is judged as what it stands for;
    tunnels that hide one (6to4, Teredo) are never public.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return (
        address in GLOBAL_UNICAST_V6
        and address.is_global
        and not any(address in network for network in SPECIAL_V6)
    )


def may_connect(address: Address, allowed: Sequence[Network]) -> bool:
    """True when the address is public or the operator allows its network."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            return may_connect(address.ipv4_mapped, allowed)
    return is_public(address) or any(
        address in network for network in allowed if network.version == address.version
    )


def literal(host: str) -> Address | None:
    """The address that a URL's host spells out in plain form, None when it is a name.

    Raises ValueError for every other spelling of an address (decimal, octal, hexadecimal,
    shortened, with a zone): whoever writes those has something to hide.
    """
    bare = host.rstrip(".")
    if ":" in bare or "%" in bare:
        return ip_address(bare)
    try:
        return IPv4Address(bare)
    except ValueError:
        pass
    try:
        socket.inet_aton(bare)
    except (OSError, UnicodeError):
        return None
    raise ValueError("not a plain address")
