"""Deploy Ocean's contracts, in the order in which they need each other.

The contracts are the published ones (the PyPI package ``ocean-contracts``, which installs
as ``artifacts``). They go over any node that signs for the owner's wallet: this package's
own without a network, or Anvil over HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import encode
from eth_utils.abi import collapse_if_tuple, function_abi_to_4byte_selector
from eth_utils.address import to_checksum_address

Ask = Callable[[str, Sequence[Any]], Any]
"""A JSON-RPC call: method and parameters to its result. Raises for a refusal."""

ETHER = 10**18
NOWHERE = "0x000000000000000000000000000000000000dEaD"
NOBODY = "0x" + "00" * 20
_GAS = 10_000_000
_FEE_MARGIN = 3


class DeploymentFailed(Exception):
    """A contract could not be made or a call of it reverted."""


@dataclass(frozen=True, slots=True)
class Contract:
    """An artifact: interface and bytecode."""

    name: str
    abi: Sequence[Mapping[str, Any]] = field(repr=False)
    bytecode: bytes = field(repr=False)

    def creation(self, *values: object) -> bytes:
        """Bytecode with the constructor's arguments."""
        constructor = next((part for part in self.abi if part["type"] == "constructor"), None)
        types = _types(constructor) if constructor else []
        return self.bytecode + encode(types, values)

    def call(self, function: str, *values: object) -> bytes:
        """The data of a transaction that calls this function."""
        fragment = next(p for p in self.abi if p["type"] == "function" and p["name"] == function)
        selector: bytes = function_abi_to_4byte_selector(fragment)  # type: ignore[arg-type]
        return selector + encode(_types(fragment), values)


@cache
def contract(name: str) -> Contract:
    """A published contract by its name."""
    text = files("artifacts").joinpath(f"{name}.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return Contract(name, document["abi"], bytes.fromhex(document["bytecode"].removeprefix("0x")))


def _types(fragment: Mapping[str, Any]) -> list[str]:
    return [collapse_if_tuple(part) for part in fragment["inputs"]]


class Deployer:
    """Transactions of one wallet, each waited for. ``owner`` is its address."""

    def __init__(self, ask: Ask, owner: str) -> None:
        self._ask = ask
        self.owner = owner
        self._price = _FEE_MARGIN * int(ask("eth_gasPrice", []), 16)

    def deploy(self, name: str, *values: object) -> str:
        """Make a contract; its checksummed address."""
        receipt = self._send(name, {"data": _hex(contract(name).creation(*values))})
        return to_checksum_address(receipt["contractAddress"])

    def call(self, name: str, address: str, function: str, *values: object) -> None:
        """Call a function of a contract that was made."""
        data = contract(name).call(function, *values)
        self._send(f"{name}.{function}", {"to": address, "data": _hex(data)})

    def _send(self, what: str, transaction: Mapping[str, Any]) -> Mapping[str, Any]:
        fees = {"maxFeePerGas": hex(self._price), "maxPriorityFeePerGas": hex(10**9)}
        sent = {"from": self.owner, "gas": hex(_GAS), **fees, **transaction}
        tx = self._ask("eth_sendTransaction", [sent])
        receipt = self._ask("eth_getTransactionReceipt", [tx])
        if receipt is None:
            self._ask("evm_mine", [])
            receipt = self._ask("eth_getTransactionReceipt", [tx])
        if receipt is None or receipt["status"] != "0x1":
            raise DeploymentFailed(f"{what} failed")
        return dict(receipt)


def deploy_ocean(ask: Ask, owner: str, holders: Sequence[str]) -> dict[str, Any]:
    """Deploy everything, give each of ``holders`` tokens; the network's address file entry.

    Every holder gets 100,000 OCEAN, MockDAI and MockUSDC (6 decimals).
    """
    start_block = int(ask("eth_blockNumber", []), 16)
    deployer = Deployer(ask, owner)
    tokens = _tokens(deployer)
    addresses = tokens | _exchange(deployer, tokens["Ocean"])
    addresses |= _payments(deployer, addresses)
    for holder in holders:
        _fund(deployer, tokens, holder)
    return {
        "chainId": int(ask("eth_chainId", []), 16),
        "startBlock": start_block,
        **addresses,
    }


def _tokens(deployer: Deployer) -> dict[str, Any]:
    ocean = deployer.deploy("OceanToken", deployer.owner)
    dai = deployer.deploy("MockERC20Decimals", "MockDAI", "MockDAI", 18)
    usdc = deployer.deploy("MockERC20Decimals", "MockUSDC", "MockUSDC", 6)
    return {"Ocean": ocean, "MockDAI": dai, "MockUSDC": usdc}


def _exchange(deployer: Deployer, ocean: str) -> dict[str, Any]:
    """Router, exchanges, templates and the factory, made known to each other."""
    owner, deploy = deployer.owner, deployer.deploy
    community = deploy("OPFCommunityFeeCollector", owner, owner)
    enterprise = deploy("EnterpriseFeeCollector", owner, owner)
    router = deploy("FactoryRouter", owner, ocean, NOWHERE, community, [])
    fixed = deploy("FixedRateExchange", router)
    fixed_enterprise = deploy("FixedRateExchangeEnterprise", router, enterprise)
    names = ("ERC20Template", "ERC20TemplateEnterprise", "ERC20Template3", "ERC20Template4")
    templates = [deploy(name) for name in names]
    nft = deploy("ERC721Template")
    dispenser = deploy("Dispenser", router)
    factory = deploy("ERC721Factory", nft, templates[0], router)
    for template in templates[1:]:
        deployer.call("ERC721Factory", factory, "addTokenTemplate", template)
    deployer.call("FactoryRouter", router, "addFactory", factory)
    for exchange in (fixed, fixed_enterprise):
        deployer.call("FactoryRouter", router, "addFixedRateContract", exchange)
    deployer.call("FactoryRouter", router, "addDispenserContract", dispenser)
    return {
        "OPFCommunityFeeCollector": community,
        "EnterpriseFeeCollector": enterprise,
        "Router": router,
        "FixedPrice": fixed,
        "FixedPriceEnterprise": fixed_enterprise,
        "Dispenser": dispenser,
        "ERC721Factory": factory,
        "ERC721Template": {"1": nft},
        "ERC20Template": {str(number): at for number, at in enumerate(templates, 1)},
    }


def _payments(deployer: Deployer, addresses: Mapping[str, Any]) -> dict[str, Any]:
    deploy = deployer.deploy
    return {
        "BatchPayments": deploy("BatchPayments"),
        "Escrow": deploy("Escrow", addresses["Router"], NOBODY),
        "EnterpriseEscrow": deploy("EnterpriseEscrow", addresses["EnterpriseFeeCollector"]),
        "AccessListFactory": deploy("AccessListFactory", deploy("AccessList")),
    }


def _fund(deployer: Deployer, tokens: Mapping[str, str], holder: str) -> None:
    deployer.call("OceanToken", tokens["Ocean"], "mint", holder, 100_000 * ETHER)
    deployer.call("MockERC20Decimals", tokens["MockDAI"], "transfer", holder, 100_000 * ETHER)
    deployer.call("MockERC20Decimals", tokens["MockUSDC"], "transfer", holder, 100_000 * 10**6)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
