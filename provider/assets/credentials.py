"""Whether a wallet may use an asset, by the asset's own state and lists. Pure.

Keeps the meaning that publishers' documents were written for: a non-empty allow-list
decides alone, else the deny-list does. Departs from the old provider where that failed
open: all address entries count, not only the first, and an allow-list made only of
kinds that cannot be checked here lets nobody in. ``*`` stands for every wallet.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from provider.assets.ddo import CredentialEntry, Credentials, Ddo, Service

USABLE_STATES = frozenset({0, 5})
EVERYONE = "*"


class ConsumableCode(IntEnum):
    """Numbers and names of the old provider; clients show the name."""

    OK = 0
    ASSET_DISABLED = 1
    CONNECTIVITY_FAIL = 2
    CREDENTIAL_NOT_IN_ALLOW_LIST = 3
    CREDENTIAL_IN_DENY_LIST = 4


def consumable(ddo: Ddo, address: str, service: Service | None = None) -> ConsumableCode:
    """Judge one wallet (0x address in any case) against the asset, and the service if given."""
    if ddo.metadata is None or ddo.nft.state not in USABLE_STATES:
        return ConsumableCode.ASSET_DISABLED
    code = _by_lists(ddo.credentials, address)
    if code is ConsumableCode.OK and service is not None:
        return _by_lists(service.credentials, address)
    return code


def why_denied(ddo: Ddo, address: str, service: Service | None = None) -> str | None:
    """The text that a client reads when this wallet may not, None when it may."""
    code = consumable(ddo, address, service)
    if code is ConsumableCode.OK:
        return None
    return f"Error: Access to asset {ddo.id} was denied with code: ConsumableCodes.{code.name}."


def is_restricted(ddo: Ddo, service: Service) -> bool:
    """True when not everybody may use a service: some allow-list restricts it."""
    return not (_open_to_all(ddo.credentials) and _open_to_all(service.credentials))


def _open_to_all(lists: Credentials) -> bool:
    return not _restricts(lists.allow) or EVERYONE in _wallets(lists.allow)


def _by_lists(lists: Credentials, address: str) -> ConsumableCode:
    wallet = address.lower()
    if _restricts(lists.allow):
        listed = _wallets(lists.allow)
        allowed = wallet in listed or EVERYONE in listed
        return ConsumableCode.OK if allowed else ConsumableCode.CREDENTIAL_NOT_IN_ALLOW_LIST
    listed = _wallets(lists.deny)
    if wallet in listed or EVERYONE in listed:
        return ConsumableCode.CREDENTIAL_IN_DENY_LIST
    return ConsumableCode.OK


def _restricts(allow: Iterable[CredentialEntry]) -> bool:
    return any(entry.values or not _is_address_entry(entry) for entry in allow)


def _wallets(entries: Iterable[CredentialEntry]) -> frozenset[str]:
    return frozenset(
        value.lower() for entry in entries if _is_address_entry(entry) for value in entry.values
    )


def _is_address_entry(entry: CredentialEntry) -> bool:
    return entry.type.lower() == "address"
