"""What is written on a chain for an asset, and in which order."""

from __future__ import annotations

import hashlib
import json
import lzma
from typing import Any

import pytest
from standin_market import CHAIN, MarketStandIn, NotedWallet, unsealed
from standin_provider import PROVIDER_ADDRESS, Fault

from provider.client import (
    AnswerNotUnderstoodError,
    AssetDraft,
    ClientUsageError,
    ComputeClient,
    RefusedError,
    ServiceDraft,
    publish,
    revise,
)

URL = "https://provider.example"
FILE = {"type": "url", "url": "https://origin.example/rows.csv", "method": "GET"}
SERVICE = ServiceDraft("access", [FILE], timeout_s=3600)


def written(payer: NotedWallet, position: int = -1) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document that lies on the chain, and what was said beside it."""
    kind, _, fields = payer.done[position]
    assert kind == "metadata"
    content = lzma.decompress(fields["data"][::-1])
    assert hashlib.sha256(content).digest() == fields["metadata_hash"]
    document: dict[str, Any] = json.loads(content)
    return document, fields


async def test_a_dataset_with_two_services(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    compute = ServiceDraft("compute", [FILE, FILE], id="c", compute={"allowRawAlgorithm": True})
    draft = AssetDraft("Rows", [SERVICE, compute], more={"credentials": {"allow": []}})
    made = await publish(shop, payer, draft, url=URL)
    assert [what[0] for what in payer.done] == ["nft", "datatoken", "datatoken", "metadata"]
    document, fields = written(payer)
    assert document == made.document
    assert made.tx == f"0x{4:064x}"
    assert made.did == payer.did_of(made.nft, CHAIN) == document["id"]
    assert (document["chainId"], document["nftAddress"]) == (CHAIN, made.nft)
    assert document["credentials"] == {"allow": []}
    assert document["metadata"]["type"] == "dataset"
    assert document["metadata"]["author"] == payer.address
    first, second = document["services"]
    assert (first["id"], first["type"], first["timeout"]) == ("0", "access", 3600)
    assert (second["id"], second["type"]) == ("c", "compute")
    assert second["compute"] == {"allowRawAlgorithm": True, "allowNetworkAccess": False}
    assert "compute" not in first
    assert {service["serviceEndpoint"] for service in (first, second)} == {URL}
    assert (first["datatokenAddress"], second["datatokenAddress"]) == made.datatokens
    assert (fields["flags"], fields["state"]) == (b"\x03", 0)
    assert (fields["decryptor_url"], fields["decryptor_address"]) == (URL, PROVIDER_ADDRESS)
    assert {chain for chain, _ in market.sealed} == {str(CHAIN)}


async def test_files_are_bound_to_their_nft_and_datatoken(
    shop: ComputeClient, payer: NotedWallet
) -> None:
    made = await publish(shop, payer, AssetDraft("Rows", [SERVICE, SERVICE]), url=URL)
    for service, datatoken in zip(made.document["services"], made.datatokens, strict=True):
        assert unsealed(service["files"]) == {
            "datatokenAddress": datatoken,
            "nftAddress": made.nft,
            "files": [FILE],
        }
    assert FILE["url"] not in json.dumps(made.document)
    assert FILE["url"] not in repr(AssetDraft("Rows", [SERVICE]))


async def test_an_algorithm(shop: ComputeClient, payer: NotedWallet) -> None:
    section = {"language": "sh", "container": {"image": "busybox", "tag": "1"}}
    draft = AssetDraft("Count", [SERVICE], algorithm=section, metadata={"tags": ["counting"]})
    await publish(shop, payer, draft, url=URL)
    document, _ = written(payer)
    metadata = document["metadata"]
    assert (metadata["type"], metadata["algorithm"]) == ("algorithm", section)
    assert metadata["tags"] == ["counting"]


async def test_a_document_is_written_anew(shop: ComputeClient, payer: NotedWallet) -> None:
    made = await publish(shop, payer, AssetDraft("Rows", [SERVICE]), url=URL)
    services = [{**made.document["services"][0], "timeout": 60}]
    again = await revise(shop, payer, made, url=URL, services=services)
    document, _ = written(payer)
    assert document == again.document
    assert document["services"][0]["timeout"] == 60
    assert (document["id"], again.datatokens) == (made.did, made.datatokens)
    assert again.tx != made.tx
    assert document["metadata"]["created"] == made.document["metadata"]["created"]


async def test_a_draft_without_services_makes_nothing(
    shop: ComputeClient, payer: NotedWallet
) -> None:
    with pytest.raises(ClientUsageError):
        await publish(shop, payer, AssetDraft("Rows", []), url=URL)
    assert payer.done == []


async def test_a_provider_that_does_not_seal_ends_it(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.spoil("encrypt", Fault(400, body={"error": "Failed to encrypt."}))
    with pytest.raises(RefusedError):
        await publish(shop, payer, AssetDraft("Rows", [SERVICE]), url=URL)
    assert [what[0] for what in payer.done] == ["nft", "datatoken"]


async def test_a_provider_without_an_address_is_not_sealed_for(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    endpoints = {name: list(value) for name, value in market.endpoints.items()}
    market.spoil("root", Fault(200, body={"serviceEndpoints": endpoints}))
    with pytest.raises(AnswerNotUnderstoodError, match="no address"):
        await publish(shop, payer, AssetDraft("Rows", [SERVICE]), url=URL)
    assert payer.done == []
