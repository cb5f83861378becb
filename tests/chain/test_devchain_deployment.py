"""Ocean's contracts on the development chain: all there, and known to each other."""

from __future__ import annotations

from typing import Any

import pytest
from devchain_parts import Chain
from eth_abi import decode
from support.devchain import DevChain

from provider.chain.networks import read_networks
from provider.devchain.ocean import Deployer, DeploymentFailed, contract, deploy_ocean

ONE = [
    "Ocean",
    "MockDAI",
    "MockUSDC",
    "OPFCommunityFeeCollector",
    "EnterpriseFeeCollector",
    "Router",
    "FixedPrice",
    "FixedPriceEnterprise",
    "Dispenser",
    "ERC721Factory",
    "BatchPayments",
    "Escrow",
    "EnterpriseEscrow",
    "AccessListFactory",
]


def view(devchain: DevChain, name: str, address: str, function: str, *values: object) -> Any:
    """What a view of a published contract answers, if it is one value."""
    data = "0x" + contract(name).call(function, *values).hex()
    raw = bytes.fromhex(devchain.call("eth_call", {"to": address, "data": data}, "latest")[2:])
    fragment = next(part for part in contract(name).abi if part.get("name") == function)
    return decode([output["type"] for output in fragment["outputs"]], raw)[0]


def test_every_contract_is_there(devchain: DevChain) -> None:
    addresses = devchain.addresses
    every = [addresses[name] for name in ONE]
    every += [*addresses["ERC20Template"].values(), *addresses["ERC721Template"].values()]

    assert len({address.lower() for address in every}) == len(ONE) + 5
    for address in every:
        assert len(devchain.call("eth_getCode", address, "latest")) > 1000
    assert (addresses["chainId"], addresses["startBlock"]) == (8996, 0)


def test_our_own_settings_read_the_address_file(devchain: DevChain) -> None:
    network = read_networks(devchain.address_file)[8996]

    assert network.name == "development"
    assert network.factory == devchain.addresses["ERC721Factory"].lower()
    assert network.ocean == devchain.addresses["Ocean"].lower()


def test_the_contracts_know_each_other(devchain: DevChain) -> None:
    at = devchain.addresses
    router, factory = at["Router"], at["ERC721Factory"]

    assert view(devchain, "FactoryRouter", router, "factory").lower() == factory.lower()
    assert view(devchain, "ERC721Factory", factory, "router").lower() == router.lower()
    assert view(devchain, "ERC721Factory", factory, "getCurrentTemplateCount") == 4
    assert view(devchain, "ERC721Factory", factory, "getCurrentNFTTemplateCount") == 1
    for name in ("FixedPrice", "FixedPriceEnterprise"):
        assert view(devchain, "FactoryRouter", router, "isFixedRateContract", at[name])
    assert view(devchain, "FactoryRouter", router, "isDispenserContract", at["Dispenser"])


def test_every_wallet_has_money_of_all_kinds(devchain: DevChain) -> None:
    amounts = {"Ocean": 10**23, "MockDAI": 10**23, "MockUSDC": 10**11}
    for account in devchain.accounts[-3:]:
        for name, amount in amounts.items():
            token = devchain.addresses[name]
            assert view(devchain, "OceanToken", token, "balanceOf", account.address) >= amount
        ether = int(devchain.call("eth_getBalance", account.address, "latest"), 16)
        assert ether > 999_000 * 10**18


def test_tokens_have_the_usual_decimals(devchain: DevChain) -> None:
    decimals = {
        name: view(devchain, "MockERC20Decimals", devchain.addresses[name], "decimals")
        for name in ("Ocean", "MockDAI", "MockUSDC")
    }
    assert decimals == {"Ocean": 18, "MockDAI": 18, "MockUSDC": 6}


def test_it_deploys_over_calls_alone() -> None:
    chain = Chain()

    entry = deploy_ocean(
        lambda method, params: chain.call(method, *params), chain.alice.address, []
    )

    assert entry["chainId"] == 8996
    assert chain.call("eth_getCode", entry["ERC721Factory"], "latest") != "0x"


def test_it_deploys_where_blocks_come_slowly() -> None:
    chain = Chain()
    chain.call("evm_setAutomine", False)

    entry = deploy_ocean(
        lambda method, params: chain.call(method, *params), chain.alice.address, []
    )

    assert chain.call("eth_getCode", entry["AccessListFactory"], "latest") != "0x"


def test_a_deployment_that_fails_is_noticed() -> None:
    chain = Chain()
    deployer = Deployer(lambda method, params: chain.call(method, *params), chain.alice.address)
    ocean = deployer.deploy("OceanToken", chain.wallets[1].address)

    with pytest.raises(DeploymentFailed, match=r"OceanToken\.mint failed"):
        deployer.call("OceanToken", ocean, "mint", chain.alice.address, 1)
