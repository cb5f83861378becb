"""Assets: documents, files, sealing, download."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from standin_market import ALGORITHM, DID, MarketStandIn, NotedWallet, a_document, a_fee
from standin_provider import Fault, Naps, StandIn

from provider.client import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    ComputeClient,
    Dataset,
    DownloadFailedError,
    FileInfo,
    NotFoundError,
    ProviderUnreachableError,
    RefusedError,
)

ROWS = b"a,b\n1,2\n"


# documents


async def test_a_document_is_read_and_asked_for_again_when_the_provider_is_away(
    shop: ComputeClient, market: MarketStandIn
) -> None:
    assert await shop.asset(DID) == market.documents[DID]
    assert await shop.service_index(DID, "1", 8996) == 1


async def test_an_asset_that_is_not_indexed_is_not_found(shop: ComputeClient) -> None:
    with pytest.raises(NotFoundError, match="not found"):
        await shop.asset("did:op:missing")


async def test_a_document_of_another_asset_is_not_taken(
    shop: ComputeClient, market: MarketStandIn
) -> None:
    market.documents[DID] = a_document(ALGORITHM)
    with pytest.raises(AnswerNotUnderstoodError):
        await shop.asset(DID)


async def test_documents_may_come_from_elsewhere(market: MarketStandIn, wallet: Any) -> None:
    plain = StandIn()
    async with TestServer(market.application()) as cache, TestServer(plain.application()) as server:
        url, metadata_url = str(server.make_url("/")), str(cache.make_url("/"))
        async with ComputeClient(url, wallet, metadata_url=metadata_url) as client:
            assert (await client.asset(DID))["id"] == DID
    assert plain.seen == []


def test_a_metadata_url_must_be_one(wallet: Any) -> None:
    with pytest.raises(ClientUsageError):
        ComputeClient("http://localhost", wallet, metadata_url="ftp://cache")


async def test_waiting_for_an_asset_and_for_what_a_transaction_wrote(
    shop: ComputeClient, market: MarketStandIn, naps: Naps
) -> None:
    versions = [a_document(DID, event={"tx": tx}) for tx in ("0x1", "0x1", "0x2")]
    market.documents[DID] = list(versions)
    assert await shop.wait_for_asset(DID) == versions[0]
    assert await shop.wait_for_asset(DID, "0x2") == versions[2]
    assert naps.taken == [0.25]


async def test_waiting_ends(shop: ComputeClient, market: MarketStandIn) -> None:
    with pytest.raises(NotFoundError, match="not found"):
        await shop.wait_for_asset("did:op:missing", timeout_s=0)
    with pytest.raises(NotFoundError, match="not indexed as of transaction 0x9"):
        await shop.wait_for_asset(DID, "0x9", timeout_s=0)


# files


async def test_files_of_a_service(shop: ComputeClient, market: MarketStandIn) -> None:
    (told,) = await shop.fileinfo(Dataset(DID, "1", userdata={"year": 2026}))
    assert told == FileInfo(0, True, "url", len(ROWS), "text/csv", "rows.csv")
    (asked,) = market.calls("fileinfo")
    assert asked == {"did": DID, "serviceId": "1", "userdata": {"year": 2026}}
    (told,) = await shop.fileinfo(DID, checksum=True)
    assert len(told.checksum) == 64
    assert market.calls("fileinfo")[1]["checksum"] is True


async def test_a_file_before_it_is_published(shop: ComputeClient, market: MarketStandIn) -> None:
    file = {"type": "url", "url": "https://example.com/rows.csv", "method": "GET"}
    (told,) = await shop.fileinfo_of(file)
    assert (told.valid, told.size) == (True, 12)
    assert market.calls("fileinfo") == [file]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"valid": False, "type": "url"}, FileInfo(3, False, "url")),
        ({"index": 5, "valid": True, "contentLength": 9}, FileInfo(5, True, size=9)),
        ({"index": True, "valid": 1, "contentLength": ""}, FileInfo(3, False)),
        ({"valid": True, "contentLength": "-4"}, FileInfo(3, True)),
        ({"valid": True, "contentLength": "9" * 40}, FileInfo(3, True)),
        ({"valid": True, "contentLength": None, "filename": None}, FileInfo(3, True)),
    ],
)
def test_what_is_told_of_a_file_is_read_leniently(document: Any, expected: FileInfo) -> None:
    assert FileInfo.from_wire(document, 3) == expected


@pytest.mark.parametrize("answer", [{}, ["a"], "text", None])
async def test_what_lists_no_files_is_told(
    shop: ComputeClient, market: MarketStandIn, answer: Any
) -> None:
    market._fileinfo = lambda values: answer  # type: ignore[method-assign]
    with pytest.raises(AnswerNotUnderstoodError):
        await shop.fileinfo(DID)


# sealing


async def test_bytes_are_sealed_as_they_are(shop: ComputeClient, market: MarketStandIn) -> None:
    market.spoil("encrypt", Fault(503))
    content = bytes(range(256))
    assert await shop.encrypt(content, 8996) == "0x" + content[::-1].hex()
    assert market.sealed == [("8996", content)]
    assert market.headers("encrypt")[-1]["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(400, body={"error": "Unsupported chain ID 5"}), RefusedError),
        (Fault(413, body={"error": "Too large"}), RefusedError),
        (Fault(200, body="sealed, trust me"), AnswerNotUnderstoodError),
    ],
)
async def test_what_is_not_sealed_is_told(
    shop: ComputeClient, market: MarketStandIn, fault: Fault, kind: type[Exception]
) -> None:
    market.spoil("encrypt", fault)
    with pytest.raises(kind):
        await shop.encrypt(b"secret", 5)


# quotes


async def test_a_quote_for_access(shop: ComputeClient, market: MarketStandIn) -> None:
    market.quotes[DID] = {"datatoken": "0xd", "providerFee": a_fee()}
    quote = await shop.initialize(Dataset(DID, "1", {"a": 1}, "0xorder"), index=0)
    assert quote == market.quotes[DID]
    assert market.calls("initialize") == [
        {
            "documentId": DID,
            "serviceId": "1",
            "consumerAddress": shop.address,
            "transferTxId": "0xorder",
            "userdata": '{"a": 1}',
            "fileIndex": "0",
        }
    ]


async def test_a_quote_for_somebody_else(shop: ComputeClient, market: MarketStandIn) -> None:
    await shop.initialize(DID, consumer="0xsomebody")
    assert market.calls("initialize")[0]["consumerAddress"] == "0xsomebody"


async def test_parameters_that_are_no_json_are_told(shop: ComputeClient) -> None:
    with pytest.raises(ClientUsageError, match="not JSON"):
        await shop.initialize(Dataset(DID, userdata={"when": object()}))


async def test_an_answer_that_is_no_quote(shop: ComputeClient, market: MarketStandIn) -> None:
    market._initialize = lambda values: []  # type: ignore[method-assign]
    with pytest.raises(AnswerNotUnderstoodError):
        await shop.initialize(DID)


# download


async def test_a_file_arrives_under_its_own_name(
    shop: ComputeClient, market: MarketStandIn, tmp_path: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    path = await shop.download_asset(
        DID, f"{tmp_path}/new/", progress=lambda *told: seen.append(told)
    )
    assert (path, path.read_bytes()) == (tmp_path / "new" / "rows.csv", ROWS)
    assert seen[-1] == (len(ROWS), len(ROWS))
    (sent,) = market.calls("download")
    assert (sent["documentId"], sent["fileIndex"]) == (DID, "0")
    assert "transferTxId" not in sent


async def test_a_bought_file_arrives_with_its_order_and_parameters(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet, tmp_path: Path
) -> None:
    market.quotes[DID] = {"datatoken": "0xd", "providerFee": a_fee()}
    wanted = Dataset(DID, userdata={"year": 2026})
    with pytest.raises(RefusedError, match="could not be validated"):
        await shop.download_asset(wanted, tmp_path / "rows.csv")
    bought = await shop.order_access(wanted, pay=payer)
    path = await shop.download_asset(bought, tmp_path / "rows.csv")
    assert path.read_bytes() == ROWS
    sent = market.calls("download")[-1]
    assert sent["transferTxId"] == bought.transfer_tx_id
    assert json.loads(sent["userdata"]) == {"year": 2026}
    assert market.calls("fileinfo") == []


async def test_a_broken_download_goes_on_with_a_new_signature(
    shop: ComputeClient, market: MarketStandIn, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 4096
    market.content[DID] = [("big.bin", content)]
    market.spoil("download", Fault(cut=300_000), Fault(503))
    path = await shop.download_asset(DID, tmp_path)
    assert path.read_bytes() == content
    calls = market.calls("download")
    assert len({call["nonce"] for call in calls}) == len(calls) == 3
    assert market.headers("download")[-1]["Range"].startswith("bytes=")


async def test_patience_with_a_download_ends(
    shop: ComputeClient, market: MarketStandIn, tmp_path: Path
) -> None:
    market.spoil("download", *[Fault(503)] * 4)
    with pytest.raises(ProviderUnreachableError):
        await shop.download_asset(DID, tmp_path / "a")
    assert not (tmp_path / "a").exists()


async def test_a_file_that_is_there_is_not_overwritten_unasked(
    shop: ComputeClient, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("mine")
    with pytest.raises(DownloadFailedError, match=r"exists already\."):
        await shop.download_asset(DID, tmp_path)
    with pytest.raises(DownloadFailedError, match=r"exists already\."):
        await shop.destination(DID, tmp_path)
    found = await shop.destination(DID, tmp_path, overwrite=True)
    assert (found.path, found.here) == (tmp_path / "rows.csv", False)
    path = await shop.download_asset(DID, tmp_path, overwrite=True)
    assert path.read_bytes() == ROWS


async def test_a_file_without_a_name_gets_a_stable_one(
    shop: ComputeClient, market: MarketStandIn, tmp_path: Path
) -> None:
    market.content[DID] = [("", b"first"), ("../../etc/passwd", b"second")]
    first = await shop.download_asset(DID, tmp_path)
    assert first == tmp_path / f"{'d1' * 8}-0"
    second = await shop.download_asset(DID, tmp_path, index=1)
    assert second.is_relative_to(tmp_path)
    assert second.read_bytes() == b"second"


async def test_a_file_that_the_service_does_not_have(shop: ComputeClient, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file 7"):
        await shop.download_asset(DID, tmp_path, index=7)
    with pytest.raises(NotFoundError, match="no file 7"):
        await shop.destination(DID, tmp_path / "a", index=7)


async def test_a_file_that_is_known_to_be_here(
    shop: ComputeClient, market: MarketStandIn, tmp_path: Path
) -> None:
    usual = market._fileinfo
    telling = lambda values: usual(values | {"checksum": True})  # noqa: E731
    market._fileinfo = telling  # type: ignore[method-assign]
    (tmp_path / "rows.csv").write_bytes(ROWS)
    found = await shop.destination(DID, tmp_path)
    assert (found.path, found.here) == (tmp_path / "rows.csv", True)
    (tmp_path / "rows.csv").write_bytes(b"mine")
    with pytest.raises(DownloadFailedError, match="is another file"):
        await shop.destination(DID, tmp_path)


async def test_nothing_works_before_the_client_is_open(
    make_client: Callable[..., ComputeClient],
) -> None:
    client = make_client()
    with pytest.raises(ClientUsageError, match="async with"):
        await client.asset(DID)
    with pytest.raises(ClientUsageError, match="async with"):
        await client.encrypt(b"", 1)
