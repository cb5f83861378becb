"""Allow and deny lists, in a table."""

from __future__ import annotations

from typing import Any

import pytest
from asset_documents import DATASET, WALLET, dataset, service

from provider.assets.credentials import ConsumableCode, consumable, is_restricted, why_denied
from provider.assets.ddo import Ddo

OTHER = "0x" + "99" * 20
OK = ConsumableCode.OK
NOT_ALLOWED = ConsumableCode.CREDENTIAL_NOT_IN_ALLOW_LIST
DENIED = ConsumableCode.CREDENTIAL_IN_DENY_LIST


def entry(*wallets: Any, kind: str = "address") -> dict[str, Any]:
    return {"type": kind, "values": list(wallets)}


@pytest.mark.parametrize(
    ("allow", "deny", "code"),
    [
        ([], [], OK),
        ([entry(WALLET)], [], OK),
        ([entry(WALLET.lower())], [], OK),
        ([entry(WALLET.upper().replace("0X", "0x"))], [], OK),
        ([entry({"address": WALLET})], [], OK),
        ([entry("*")], [], OK),
        ([entry(OTHER)], [], NOT_ALLOWED),
        ([entry(OTHER), entry(WALLET)], [], OK),
        ([entry()], [], OK),
        ([entry("member", kind="passport")], [], NOT_ALLOWED),
        ([entry(kind="passport")], [], NOT_ALLOWED),
        ([entry("member", kind="passport"), entry(WALLET)], [], OK),
        ([entry(WALLET, kind="Address")], [], OK),
        ([entry(WALLET)], [entry(WALLET)], OK),
        ([], [entry(WALLET)], DENIED),
        ([], [entry(WALLET.lower())], DENIED),
        ([], [entry("*")], DENIED),
        ([], [entry(OTHER)], OK),
        ([], [entry(OTHER), entry(WALLET)], DENIED),
        ([entry()], [entry(WALLET)], DENIED),
        ([], [entry("member", kind="passport")], OK),
    ],
)
def test_lists_decide(allow: list[Any], deny: list[Any], code: ConsumableCode) -> None:
    ddo = Ddo.parse(dataset(credentials={"allow": allow, "deny": deny}))
    assert consumable(ddo, WALLET) is code


@pytest.mark.parametrize(
    ("state", "code"),
    [(0, OK), (5, OK), *((each, ConsumableCode.ASSET_DISABLED) for each in (1, 2, 3, 4, 6))],
)
def test_only_active_and_unlisted_assets_are_usable(state: int, code: ConsumableCode) -> None:
    assert consumable(Ddo.parse(dataset(nft={"state": state})), WALLET) is code


def test_an_asset_without_nft_is_active() -> None:
    assert consumable(Ddo.parse(dataset(nft=None)), WALLET) is OK


def test_an_asset_without_metadata_is_disabled() -> None:
    ddo = Ddo.parse(dataset(metadata=None))
    assert consumable(ddo, WALLET) is ConsumableCode.ASSET_DISABLED


def test_lists_of_a_service_restrict_further() -> None:
    restricted = service(credentials={"allow": [entry(OTHER)]})
    ddo = Ddo.parse(dataset(services=[restricted]))
    assert consumable(ddo, WALLET) is OK
    assert consumable(ddo, WALLET, ddo.services[0]) is NOT_ALLOWED
    assert consumable(ddo, OTHER, ddo.services[0]) is OK


def test_the_reason_is_the_text_that_clients_know() -> None:
    ddo = Ddo.parse(dataset(credentials={"deny": [entry(WALLET)]}))
    assert why_denied(ddo, WALLET) == (
        f"Error: Access to asset {DATASET} was denied with code: "
        "ConsumableCodes.CREDENTIAL_IN_DENY_LIST."
    )
    assert why_denied(ddo, OTHER) is None


@pytest.mark.parametrize(
    ("asset", "own", "restricted"),
    [
        ([], [], False),
        ([{"type": "address", "values": [WALLET]}], [], True),
        ([], [{"type": "address", "values": [WALLET]}], True),
        ([{"type": "address", "values": ["*"]}], [], False),
        ([{"type": "address", "values": ["*"]}], [{"type": "address", "values": [WALLET]}], True),
        ([{"type": "verifiable", "values": []}], [], True),
    ],
)
def test_who_is_let_in_by_a_list_is_not_everybody(
    asset: list[Any], own: list[Any], restricted: bool
) -> None:
    only = service(credentials={"allow": own, "deny": []})
    ddo = Ddo.parse(dataset(services=[only], credentials={"allow": asset, "deny": []}))
    assert is_restricted(ddo, ddo.services[0]) is restricted
