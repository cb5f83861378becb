"""The signed texts, against vectors made by other implementations."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from provider.auth import messages
from provider.auth.keccak import keccak256
from provider.auth.signatures import personal_digest, recover

USER = "0x1563915e194D8CfBA1943570603F7606A3115508"
DID = "did:op:test"


class Vector(NamedTuple):
    name: str
    text: str
    digest: str
    signature: str


VECTORS = [
    Vector(
        "download",
        messages.download_text(DID, "1"),
        "5339c534118844dbd7d339dd14d330cf59dc22742993a734e2896cebb52a3db0",
        "e027ea64f0863a80829aa42fb9c8cb97c2f6e29c0d5057b727e165e47f929cc9"
        "6645861bdcac4f4c6ed864bdd926ac0b8fd4f64d044dde8c32b0b7d25d1f403e01",
    ),
    Vector(
        "computeStart",
        messages.start_text(USER, DID, "1"),
        "186b4a21f4d460fb6620d89e6d7c56faaa42b109e671e60e564bb0ec6275a1a7",
        "6420f7be4b0d60cdf006935ff1d99d1a7460ca86fc422c672e6b5493b64741e7"
        "23b6b96c620d6fef4c9484085c2cc213d8f44774b6bca19fe8804a410d53a97a00",
    ),
    Vector(
        "computeStop",
        messages.stop_text(USER, "job0", DID, "1"),
        "aab0d1482c7e93657db9cf94504929be1033a5de42dece0588fd1e46010329b2",
        "3f8e53b320f1f5060c49b694b8bb5a9a3459e855446b9ccd586c1ca7235eed41"
        "07ec0a5716fe94a66c5e482f4bb4943028960bae176bdc7f4c37fa7b223a4a3700",
    ),
    Vector(
        "computeDelete",
        messages.delete_text(USER, "job0", DID, "1"),
        "aab0d1482c7e93657db9cf94504929be1033a5de42dece0588fd1e46010329b2",
        "3f8e53b320f1f5060c49b694b8bb5a9a3459e855446b9ccd586c1ca7235eed41"
        "07ec0a5716fe94a66c5e482f4bb4943028960bae176bdc7f4c37fa7b223a4a3700",
    ),
    Vector(
        "computeResult",
        messages.result_text(USER, "job0", "0", "1"),
        "4e87aded68d398a9e7968b9f9ffefab95392aabc114ae64b21c44418507291b6",
        "1471b7f25d8a36df10b201e717207549f00ad4e14356e590c595d714021c7934"
        "5b5cf21df6b2afbb0d1c4207a87fea4eff2644c6cdaf8fd30870b20dbdf4c0cb01",
    ),
    Vector(
        "auth",
        messages.auth_text(USER, "1"),
        "e279c9ff84297f376fb9705d1c0b31c4550edba7acd1eb6ffdb209ee8f2a1ce6",
        "2441b542842ecf6f232fc3ee60ffe454af40aa9528c2ac699a3b8996ce2851e0"
        "144311dc6a0c59bfba5ee9569dd6d16f206eb5fc770b7b83bcf36ad18da619a800",
    ),
]
by_name = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)


@by_name
def test_the_digest_is_the_published_one(vector: Vector) -> None:
    assert personal_digest(vector.text).hex() == vector.digest


@by_name
@pytest.mark.parametrize("prefix", ["0x", ""])
@pytest.mark.parametrize("offset", [0, 27])
def test_the_published_signature_recovers(vector: Vector, prefix: str, offset: int) -> None:
    v = int(vector.signature[-2:], 16) + offset
    signature = f"{prefix}{vector.signature[:-2]}{v:02x}"
    assert recover(bytes.fromhex(vector.digest), signature) == USER.lower()


def test_the_inner_hash_of_a_download_is_the_published_one() -> None:
    text = messages.download_text(DID, "1")
    assert text == "did:op:test1"
    assert keccak256(text.encode()).hex() == (
        "26de4dc2251a71d8b157639ccfbafe7082f9b15ef16cde5b487bdc4e218b7f8e"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (messages.start_text("0xA", "did", "7"), "0xAdid7"),
        (messages.start_text("0xA", "did", "7", "job"), "0xAjobdid7"),
        (messages.status_text("0xA", "job", "did", "7"), "0xAjobdid7"),
        (messages.stop_text("0xA", "job", "", "7"), "0xAjob7"),
        (messages.delete_text("0xA", "", "", "7"), "0xA7"),
        (messages.result_text("0xA", "job", "3", "7"), "0xAjob37"),
        (messages.auth_text("0xA", "7"), "0xA7"),
        (messages.decrypt_text("0xTX", "0xD", "8996", "7"), "0xTX0xD89967"),
    ],
)
def test_parts_are_joined_as_sent_without_separators(text: str, expected: str) -> None:
    assert text == expected
