"""What ocean.py 3.1.2 sent to an Ocean Provider 2.1.6, sent to this one, signatures and all.

The answers are compared with the recorded ones field by field: the same names, the same
kinds of value, and the same values wherever they do not depend on key, time or chance.
"""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_world import FACTORY, MakeWorld, World, document, paid_fee, sealed, service

from provider.assets.published import did_of
from provider.chain import fake_events
from provider.chain.fake import FakeChain
from provider.chain.models import Receipt

RECORDED_AT = 1795189640.0
RECORDED: dict[str, dict[str, Any]] = {
    each["name"]: each
    for each in json.loads(Path(__file__).with_name("recorded_assets.json").read_text())
}
CONSUMER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
DATA_NFT = "0x2C8Aa213240FF4658b711C6Cfe967D47553b474B"
DATA_TOKEN = "0xe141e720664410014a3291d66f7e4ff830103554"
ALGORITHM_NFT = "0x7B3E62D069AfcfE6E11E5Bf9554225c263eB6A47"
ALGORITHM_TOKEN = "0x6aAffD7C5813e9cf6f1603654d37460DA8d5B323"
SCRIPT = b"echo hello from algo; ls -R /data/inputs; echo RESULT > /data/outputs/result.txt\n"
DATA = b"a,b\n1,2\n3,4\n"


class RecordedChain(FakeChain):
    """Answers for recorded transactions with those that a test made in their place."""

    def __init__(self) -> None:
        super().__init__(8996)
        self.stand_ins: dict[str, str] = {}

    async def receipt(self, tx: str, *, patient: bool = True) -> Receipt:
        return replace(await super().receipt(self.stand_ins.get(tx, tx), patient=patient), tx=tx)


@pytest.fixture
async def chain() -> RecordedChain:
    chain = RecordedChain()
    chain.publish(FACTORY, DATA_NFT, [DATA_TOKEN])
    chain.publish(FACTORY, ALGORITHM_NFT, [ALGORITHM_TOKEN])
    return chain


@pytest.fixture
async def recorded(make_world: MakeWorld, chain: RecordedChain) -> World:
    world = await make_world(chain=chain)
    world.now[0] = RECORDED_AT
    data = world.origin.serve("/files/data.csv", DATA, Content_Type="text/csv")
    script = world.origin.serve("/files/algo.sh", SCRIPT, Content_Type="text/x-sh")
    world.add(_asset(DATA_NFT, DATA_TOKEN, data))
    world.add(_asset(ALGORITHM_NFT, ALGORITHM_TOKEN, script))
    return world


def _asset(nft: str, datatoken: str, url: str) -> dict[str, Any]:
    files = sealed([{"type": "url", "url": url}], nft, datatoken)
    token = {"datatokenAddress": datatoken}
    access, compute = service(files, **token), service(files, "compute", id="1", **token)
    named = {"nftAddress": nft, "nft": {"address": nft, "state": 0}}
    return document(access, compute, did=did_of(nft, 8996), **named)


async def replay(world: World, name: str) -> tuple[int, dict[str, str], bytes]:
    call = RECORDED[name]
    options: dict[str, Any] = {}
    if isinstance(call["body"], dict):
        options["json"] = call["body"]
    elif call["body"] is not None:
        text = call["body"]
        packed = text.startswith("base64:")
        options["data"] = base64.b64decode(text[7:]) if packed else text.encode()
        options["headers"] = {"Content-Type": call["content_type"]}
    path = call["path"] + (f"?{call['query']}" if call["query"] else "")
    async with world.client.request(call["method"], path, **options) as answer:
        return answer.status, dict(answer.headers), await answer.read()


def shape(value: object) -> object:
    """The kinds of all values, names included; texts of hexadecimal with their length."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in sorted(value.items())}
    if isinstance(value, list):
        return [shape(each) for each in value]
    if isinstance(value, str) and value.startswith("0x"):
        return f"0x and {len(value) - 2} digits" if len(value) <= 66 else "0x and many digits"
    if isinstance(value, str):
        return "digits" if value.isdigit() else "text"
    return type(value).__name__


def require_as_recorded(name: str, status: int, headers: dict[str, str]) -> None:
    recorded = RECORDED[name]
    assert status == recorded["status"]
    for header, value in recorded["headers"].items():
        if header == "Access-Control-Expose-Headers":
            assert value in headers[header]
        else:
            assert headers[header].partition(";")[0] == value.partition(";")[0]


@pytest.mark.parametrize("name", ["fileinfo", "fileinfo_checksum"])
async def test_files_are_described_to_the_letter(recorded: World, name: str) -> None:
    status, headers, body = await replay(recorded, name)
    require_as_recorded(name, status, headers)
    assert json.loads(body) == json.loads(RECORDED[name]["response"])


async def test_a_quote_has_the_same_fields(recorded: World) -> None:
    status, headers, body = await replay(recorded, "initialize")
    require_as_recorded("initialize", status, headers)
    ours, theirs = json.loads(body), json.loads(RECORDED["initialize"]["response"])
    ours["nonce"] = "73"
    assert shape(ours) == shape(theirs)
    for name in ("providerFeeAmount", "validUntil"):
        assert ours["providerFee"][name] == theirs["providerFee"][name]


async def test_what_is_signed_for_a_fee_begins_with_the_same_parts(recorded: World) -> None:
    """Ours tells the chain as well (``chainId``), so that a fee is good on one only."""
    _, _, body = await replay(recorded, "initialize")
    theirs = _terms(json.loads(RECORDED["initialize"]["response"]))
    ours = _terms(json.loads(body))
    assert list(ours)[: len(theirs)] == list(theirs)
    assert set(ours) - set(theirs) == {"chainId"}
    for name in ("environment", "id"):
        assert ours[name] == theirs[name]
    assert ours["dt"].lower() == theirs["dt"].lower()
    assert type(ours["timestamp"]) is type(theirs["timestamp"])


def _terms(quote: dict[str, Any]) -> dict[str, Any]:
    terms = json.loads(bytes.fromhex(quote["providerFee"]["providerData"][2:]))
    assert isinstance(terms, dict)
    return terms


async def test_the_recorded_download(recorded: World, chain: RecordedChain) -> None:
    _, _, quote = await replay(recorded, "initialize")
    fee = json.loads(quote)["providerFee"]
    started = fake_events.order_started(
        DATA_TOKEN, consumer=CONSUMER, payer=CONSUMER, timestamp=int(RECORDED_AT)
    )
    query = dict(each.split("=", 1) for each in RECORDED["download"]["query"].split("&"))
    tx = chain.transact(started, paid_fee(DATA_TOKEN, fee), sender=CONSUMER)
    chain.stand_ins[query["transferTxId"]] = tx
    status, headers, body = await replay(recorded, "download")
    require_as_recorded("download", status, headers)
    assert headers["Content-Disposition"] == "attachment;filename=data.csv"
    assert body.decode() == RECORDED["download"]["response"]


@pytest.mark.parametrize(
    ("name", "nft", "created"),
    [("decrypt", DATA_NFT, True), ("decrypt_updated", ALGORITHM_NFT, False)],
)
async def test_a_recorded_document_is_opened_byte_by_byte(
    recorded: World, chain: RecordedChain, name: str, nft: str, created: bool
) -> None:
    plain = RECORDED[name]["response"].encode()
    blob = await _sealed_here(recorded, lzma.compress(plain))
    event = fake_events.metadata(
        nft,
        data=blob,
        metadata_hash=hashlib.sha256(plain).hexdigest(),
        flags=b"\x03",
        created=created,
    )
    chain.stand_ins[RECORDED[name]["body"]["transactionId"]] = chain.transact(event)
    status, headers, body = await replay(recorded, name)
    require_as_recorded(name, status, headers)
    assert body == plain


async def _sealed_here(world: World, content: bytes) -> bytes:
    async with world.client.post(
        "/api/services/encrypt",
        params={"chainId": "8996"},
        data=content,
        headers={"Content-Type": "application/octet-stream"},
    ) as answer:
        return bytes.fromhex((await answer.text())[2:])


@pytest.mark.parametrize("name", ["encrypt_files", "encrypt_document"])
async def test_what_is_sealed_has_the_same_form(recorded: World, name: str) -> None:
    status, headers, body = await replay(recorded, name)
    require_as_recorded(name, status, headers)
    theirs = RECORDED[name]["response"]
    assert body[:4].decode() == theirs[:4] == "0x04"
    assert len(body) == len(theirs)
