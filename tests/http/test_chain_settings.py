"""Chains in the environment: read with the other variables, mistakes told together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provider.errors import SettingsInvalid
from provider.settings import Settings

KEY = {"PROVIDER_PRIVATE_KEY": "11" * 32}
FACTORY, OCEAN, TOKEN = "0x" + "Fa" * 20, "0x" + "0c" * 20, "0x" + "Dd" * 20


@pytest.fixture
def addresses(tmp_path: Path) -> str:
    path = tmp_path / "address.json"
    networks = {
        "polygon": {"chainId": 137, "ERC721Factory": FACTORY, "Ocean": OCEAN, "startBlock": 7},
        "development": {"chainId": 8996, "ERC721Factory": FACTORY},
        "old": {"chainId": 5, "DTFactory": FACTORY},
        "odd": ["not", "a", "network"],
    }
    path.write_text(json.dumps(networks))
    return str(path)


def read(**given: str) -> Settings:
    return Settings.from_environ({**KEY, **given})


def test_no_network_means_no_chain() -> None:
    assert read(ADDRESS_FILE="/nowhere", CONFIRMATIONS="nonsense").chains == ()


def test_one_chain_by_its_number(addresses: str) -> None:
    settings = read(
        NETWORK_URL="http://a.example, http://b.example", CHAIN_ID="137", ADDRESS_FILE=addresses
    )
    [chain] = settings.chains
    assert settings.chain_ids == (137,)
    assert chain.rpc_urls == ("http://a.example", "http://b.example")
    assert (chain.name, chain.factory) == ("polygon", FACTORY.lower())
    assert (chain.fee_token, chain.index_from, chain.confirmations) == (OCEAN, 7, 1)


def test_several_chains_with_values_of_their_own(addresses: str) -> None:
    settings = read(
        NETWORK_URL=json.dumps({"137": "https://one", "8996": ["http://two", "http://three"]}),
        ADDRESS_FILE=addresses,
        CONFIRMATIONS='{"137": 12}',
        PROVIDER_FEE_TOKEN=json.dumps({"8996": TOKEN}),
        INDEX_FROM_BLOCK='{"137": "off", "8996": 40}',
        RPC_TIMEOUT="2.5",
    )
    polygon, development = settings.chains
    assert (polygon.confirmations, development.confirmations) == (12, 1)
    assert (polygon.fee_token, development.fee_token) == (OCEAN, TOKEN.lower())
    assert (polygon.index_from, development.index_from) == (None, 40)
    assert polygon.rpc_timeout_s == 2.5


def test_a_plain_value_counts_for_all_chains(addresses: str) -> None:
    urls = json.dumps({"137": "https://one", "8996": "http://two"})
    settings = read(NETWORK_URL=urls, ADDRESS_FILE=addresses, CONFIRMATIONS="3")
    assert [chain.confirmations for chain in settings.chains] == [3, 3]


def test_addresses_with_access_keys_never_show(addresses: str) -> None:
    settings = read(
        NETWORK_URL="https://node.example/v3/topsecret", CHAIN_ID="137", ADDRESS_FILE=addresses
    )
    assert "topsecret" not in repr(settings) + str(settings.chains)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"NETWORK_URL": "http://a"}, "CHAIN_ID: does not say which chain"),
        ({"NETWORK_URL": "http://a", "CHAIN_ID": "0"}, "CHAIN_ID: has a bad chain id"),
        ({"NETWORK_URL": "http://a", "CHAIN_ID": "-3"}, "CHAIN_ID: has a bad chain id"),
        ({"NETWORK_URL": "ws://a", "CHAIN_ID": "137"}, "NETWORK_URL: holds something"),
        ({"NETWORK_URL": "{"}, "NETWORK_URL: is not valid JSON"),
        ({"NETWORK_URL": "{}"}, "NETWORK_URL: names no chain"),
        ({"NETWORK_URL": '{"137": []}'}, "NETWORK_URL: holds something"),
        ({"NETWORK_URL": '{"137": [7]}'}, "NETWORK_URL: holds something"),
        ({"NETWORK_URL": '{"polygon": "http://a"}'}, "NETWORK_URL: has a bad chain id"),
        ({"NETWORK_URL": '{"1": "http://a"}'}, "ADDRESS_FILE: has no network with chain id 1"),
        ({"NETWORK_URL": '{"5": "http://a"}'}, "ADDRESS_FILE: has no network with chain id 5"),
        ({"CONFIRMATIONS": "0"}, "CONFIRMATIONS: is not a number"),
        ({"CONFIRMATIONS": '{"137": "many"}'}, "CONFIRMATIONS: is not a number"),
        ({"PROVIDER_FEE_TOKEN": "0x1"}, "PROVIDER_FEE_TOKEN: is not an address"),
        ({"INDEX_FROM_BLOCK": "latest"}, "INDEX_FROM_BLOCK: is not a block number"),
        ({"RPC_TIMEOUT": "soon"}, "RPC_TIMEOUT: is not"),
        ({"RPC_TIMEOUT": "nan"}, "RPC_TIMEOUT: is not"),
        ({"RPC_TIMEOUT": "0"}, "RPC_TIMEOUT: is not"),
        ({"AUTHORIZED_DECRYPTERS": '["0x1"]'}, "AUTHORIZED_DECRYPTERS: holds"),
        ({"EMPTY_TRUST_LISTS": "some"}, "EMPTY_TRUST_LISTS"),
        ({"MAX_CHECKSUM_LENGTH": "-1"}, "MAX_CHECKSUM_LENGTH"),
        ({"AQUARIUS_URL": "ipfs://x"}, "AQUARIUS_URL"),
    ],
)
def test_each_mistake_names_its_variable(addresses: str, given: dict[str, str], told: str) -> None:
    usual = {"NETWORK_URL": '{"137": "http://a"}', "ADDRESS_FILE": addresses}
    with pytest.raises(SettingsInvalid) as caught:
        read(**usual | given)
    assert told in caught.value.public


@pytest.mark.parametrize("content", [None, "nothing", "[1]", '{"a": ' * 300])
def test_an_address_file_that_is_none_is_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "address.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsInvalid, match="ADDRESS_FILE"):
        read(NETWORK_URL='{"137": "http://a"}', ADDRESS_FILE=str(path))


def test_an_empty_address_file_knows_no_chain(tmp_path: Path) -> None:
    path = tmp_path / "address.json"
    path.write_text("{}")
    with pytest.raises(SettingsInvalid, match="no network with chain id 137"):
        read(NETWORK_URL='{"137": "http://a"}', ADDRESS_FILE=str(path))


def test_several_mistakes_are_told_at_once(addresses: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        read(
            NETWORK_URL='{"137": "http://a"}',
            ADDRESS_FILE=addresses,
            CONFIRMATIONS="none",
            RPC_TIMEOUT="none",
            LISTEN_PORT="none",
        )
    lines = caught.value.public.split("\n")
    assert {line.partition(":")[0] for line in lines} == {
        "CONFIRMATIONS",
        "RPC_TIMEOUT",
        "LISTEN_PORT",
    }


@pytest.mark.parametrize(
    "text", [f"{TOKEN},{OCEAN}", f'["{TOKEN}", "{OCEAN}"]', f" {TOKEN} {OCEAN} "]
)
def test_lists_of_addresses_in_either_spelling(text: str) -> None:
    settings = read(AUTHORIZED_DECRYPTERS=text)
    assert settings.authorized_decrypters == (TOKEN.lower(), OCEAN)
