"""Chains by id, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from provider.chain.chains import ChainAccess, Chains
from provider.chain.contracts import Contracts
from provider.chain.fake import FakeChain
from provider.chain.networks import ChainSettings
from provider.errors import UnsupportedChain

PURE = ("models", "base", "events", "contracts", "chains", "networks", "configured", "fake")


def access(chain_id: int) -> ChainAccess:
    chain = FakeChain(chain_id)
    settings = ChainSettings(chain_id, "test", "0x", "0x", ("http://node.example/key",))
    return ChainAccess(settings, chain, Contracts(chain, "0x" + "fa" * 20))


def test_chains_are_found_by_their_id() -> None:
    one, two = access(1), access(8996)
    chains = Chains([one, two])
    assert chains[8996] is two
    assert list(chains) == [1, 8996]
    assert len(chains) == 2
    assert 1 in chains
    assert chains.get(1) is one
    assert chains.get(2) is None


def test_without_chains_there_are_none() -> None:
    assert not Chains()
    assert Chains([access(1)])


@pytest.mark.parametrize("chain_id", [2, None, "1", True, 1.0, [], {}])
def test_a_chain_that_is_not_configured_is_not_supported(chain_id: object) -> None:
    chains = Chains([access(1)])
    assert chain_id not in chains
    with pytest.raises(UnsupportedChain) as caught:
        chains[chain_id]  # type: ignore[index]
    assert caught.value.status == 400


def test_the_addresses_of_nodes_do_not_show() -> None:
    assert "node.example" not in repr(access(1))


def loaded_after(code: str) -> set[str]:
    """The modules that are loaded in a process that did this."""
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_web3_is_imported_by_the_client_alone() -> None:
    modules = ", ".join(f"provider.chain.{name}" for name in PURE)
    others = f"import {modules}, provider.chain.receipts, provider.chain.nodes"
    assert "web3" not in loaded_after(others)
    assert "web3" in loaded_after("import provider.chain.client")


def test_a_service_loads_only_what_all_services_need() -> None:
    """What some need is loaded when they do: together it is a third of a service's memory."""
    loaded = loaded_after("import provider.serving, provider.operating")
    assert "provider.app" in loaded
    some = {"web3", "eth_abi", "ecies", "Crypto", "jwt", "cryptography"}
    assert not loaded & (some | {"sqlalchemy.dialects.postgresql"})
