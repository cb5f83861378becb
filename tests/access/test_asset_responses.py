"""Descriptions, quotes and refusals as clients read them."""

from __future__ import annotations

import pytest
from access_world import CHAIN_ID, DATATOKEN, FACTORY, FEE_TOKEN, PROVIDER

from provider.access import AccessQuote
from provider.assets.origins.base import Probe
from provider.chain.chains import ChainAccess, Chains
from provider.chain.contracts import Contracts
from provider.chain.fake import FakeChain
from provider.chain.fees import FeeTerms, sign
from provider.chain.networks import ChainSettings
from provider.describing import FileInfo
from provider.dialects.ocean import asset_responses
from provider.errors import (
    AssetsUnavailable,
    BadParameter,
    ChainUnavailable,
    InvalidRequest,
    NonceTooLow,
    NotAllowed,
    OrderRefused,
    ProviderError,
    UnknownAsset,
)
from provider.payments import ItemQuote


def chains(*named: tuple[int, str]) -> Chains:
    accesses = []
    for chain_id, name in named:
        chain = FakeChain(chain_id)
        settings = ChainSettings(chain_id, name, FACTORY, FEE_TOKEN, ())
        accesses.append(ChainAccess(settings, chain, Contracts(chain, FACTORY)))
    return Chains(accesses)


@pytest.mark.parametrize(
    ("chain_id", "name"),
    [(8996, "Ganache"), (137, "polygon"), (1, "Unknown"), (None, "Unknown")],
)
def test_networks_by_name(chain_id: int | None, name: str) -> None:
    known = chains((137, "polygon"), (8996, "development"))
    assert asset_responses.network_name(chain_id, known) == name


@pytest.mark.parametrize(
    "error",
    [ProviderError("no"), OrderRefused("no"), NotAllowed("no")],
)
def test_refusals_name_the_network(error: ProviderError) -> None:
    with pytest.raises(type(error)) as caught, asset_responses.told_by("polygon"):
        raise error
    assert caught.value.public == "Provider polygon: no"


@pytest.mark.parametrize(
    "error",
    [
        AssetsUnavailable(),
        BadParameter("no", field="userdata"),
        ChainUnavailable(137),
        InvalidRequest({}),
        NonceTooLow(2, 1),
        UnknownAsset("did:op:1"),
    ],
)
def test_what_speaks_for_itself(error: ProviderError) -> None:
    before = error.public
    with pytest.raises(type(error)) as caught, asset_responses.told_by("polygon"):
        raise error
    assert caught.value.public == before


def test_an_answer_of_a_contract_has_a_number_for_a_length_and_no_name() -> None:
    infos = [
        FileInfo("smartcontract", Probe(12, "application/json", "ab.json")),
        FileInfo("smartcontract", Probe(None, "application/json", "ab.json")),
    ]
    first, second = asset_responses.file_infos(infos)
    assert first == {
        "index": 0,
        "valid": True,
        "type": "smartcontract",
        "contentLength": 12,
        "contentType": "application/json",
    }
    assert second["contentLength"] == 0


def test_an_empty_file_is_not_one_of_unknown_size() -> None:
    infos = [FileInfo("url", Probe(0, "", "a")), FileInfo("url", Probe(None, "", "b"))]
    assert [each["contentLength"] for each in asset_responses.file_infos(infos)] == ["0", ""]


def test_a_renewal_names_the_order_that_it_renews() -> None:
    terms = FeeTerms(None, 1.0, DATATOKEN, "0", CHAIN_ID)
    fee = sign(PROVIDER, token=FEE_TOKEN, amount=0, terms=terms, valid_until=0)
    document = asset_responses.quote(AccessQuote(ItemQuote(DATATOKEN, fee, "0x12"), 7))
    assert (document["validOrder"], document["nonce"]) == ("0x12", "7")
    assert document["datatoken"] == DATATOKEN


def test_a_good_order_stands_alone() -> None:
    quote = AccessQuote(ItemQuote(DATATOKEN, valid_order="0x12"), 7)
    assert asset_responses.quote(quote) == {"validOrder": "0x12"}
