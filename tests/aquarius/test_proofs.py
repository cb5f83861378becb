"""The proof of validation: as recorded from a real exchange, and as the real contract sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import artifacts
import pytest
from aquarius_documents import KEY, OTHER_KEY, compact, document
from eth_tester import EthereumTester, PyEVMBackend
from web3 import EthereumTesterProvider, Web3
from web3.logs import DISCARD

from provider.assets.validation import Proof, prove
from provider.auth.keccak import keccak256
from provider.auth.signatures import recover, to_checksum

CONTENT = compact(document())
PREFIX = b"\x19Ethereum Signed Message:\n32"

Publish = Callable[[bytes, Proof], Any]


class RevertedError(Exception):
    """The contract refused."""


@pytest.fixture(scope="module")
def publish() -> Publish:
    """``setMetaData`` of a real data NFT with a proof; what its events say then."""
    web3 = Web3(EthereumTesterProvider(EthereumTester(PyEVMBackend())))
    owner = web3.eth.accounts[0]
    made = json.loads(Path(artifacts.__file__).with_name("ERC721Template.json").read_text())

    def send(call: Any) -> Any:
        sent = call.transact({"from": owner, "gas": 12_000_000})
        receipt = web3.eth.wait_for_transaction_receipt(sent)
        if receipt["status"] != 1:
            raise RevertedError
        return receipt

    blueprint = web3.eth.contract(abi=made["abi"], bytecode=made["bytecode"])
    address = send(blueprint.constructor())["contractAddress"]
    nft = web3.eth.contract(abi=made["abi"], address=address)
    send(nft.functions.initialize(owner, "NFT", "N", owner, owner, owner, "", True))

    def publishing(content: bytes, proof: Proof) -> Any:
        tuples = [(proof.validator, proof.v, proof.r, proof.s)]
        digest = sha256(content).digest()
        call = nft.functions.setMetaData(0, "http://p", "0x1", b"\x00", content, digest, tuples)
        return nft.events.MetadataValidated().process_receipt(send(call), errors=DISCARD)

    return publishing


def test_the_real_contract_takes_our_proof(publish: Publish) -> None:
    (event,) = publish(CONTENT, prove(KEY, CONTENT))
    assert event["args"]["validator"] == KEY.address
    assert event["args"]["metaDataHash"] == sha256(CONTENT).digest()


@pytest.mark.parametrize("part", ["content", "r", "s", "v", "validator"])
def test_with_one_byte_changed_it_reverts(publish: Publish, part: str) -> None:
    content, proof = CONTENT, prove(KEY, CONTENT)
    if part == "content":
        content = CONTENT[:-1] + b" "
    elif part == "v":
        proof = replace(proof, v=55 - proof.v)
    elif part == "validator":
        proof = replace(proof, validator=OTHER_KEY.address)
    else:
        value = getattr(proof, part)
        proof = replace(proof, **{part: value[:-1] + ("0" if value[-1] != "0" else "1")})
    with pytest.raises(RevertedError):
        publish(content, proof)


def test_the_recorded_proofs_are_made_in_the_same_way() -> None:
    recorded = Path(__file__).with_name("validate_recordings.json")
    for exchange in json.loads(recorded.read_text()):
        content, answer = exchange["body"].encode(), exchange["response"]
        assert _signer(content, answer["v"], answer["r"][0], answer["s"][0]) == answer["publicKey"]
        ours = prove(KEY, content)
        assert ours.hash == answer["hash"]
        assert _signer(content, ours.v, ours.r, ours.s) == KEY.address


def test_a_proof_is_no_signature_of_a_request() -> None:
    """Requests are signed over a Keccak hash of their text, proofs over a SHA-256."""
    proof = prove(KEY, CONTENT)
    as_request = keccak256(PREFIX + keccak256(CONTENT))
    signature = proof.r + proof.s[2:] + f"{proof.v:02x}"
    assert to_checksum(recover(as_request, signature)) != KEY.address


def _signer(content: bytes, v: int, r: str, s: str) -> str:
    digest = keccak256(PREFIX + sha256(content).digest())
    return to_checksum(recover(digest, f"{r}{s[2:]}{v:02x}"))
