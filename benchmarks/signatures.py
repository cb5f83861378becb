"""Who signed a request: our check of it against libsecp256k1 by coincurve alone.

Ours goes from what the request carries, the parts of the plain text, the signature in
hexadecimal and the address that it claims, to the claim found right: three Keccak hashes
(of the text, of what EIP-191 puts before it, of the public key), the greatest nonce that the
text can be read with, the signature's form, and the comparison. The reference recovers the
public key from the 65 bytes and the digest of the same requests, both made beforehand, by
``PublicKey.from_signature_and_message`` of coincurve, without a hash and without writing the
key out. CPU time of one thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from coincurve import PrivateKey, PublicKey

from benchmarks.figures import Figure, alternate
from provider.auth.messages import status_text
from provider.auth.signatures import address_of, personal_digest, recover, to_checksum
from provider.auth.texts import SignedText

REQUESTS = 4000


class Signed(NamedTuple):
    """``raw`` are the bytes of the signature, ``digest`` what was signed."""

    address: str
    job_id: str
    nonce: str
    signature: str
    raw: bytes
    digest: bytes


async def figures(rounds: int) -> list[Figure]:
    requests = [_signed(PrivateKey(), number) for number in range(REQUESTS)]

    async def ours() -> float:
        began = time.thread_time()
        for each in requests:
            text = SignedText.of(status_text(each.address, each.job_id, "", each.nonce))
            assert recover(text.digest, each.signature) == each.address.lower()
        return _per_second(began, requests)

    async def reference() -> float:
        began = time.thread_time()
        for each in requests:
            PublicKey.from_signature_and_message(each.raw, each.digest, hasher=None)
        return _per_second(began, requests)

    figure, other, ratio = await alternate(rounds, ours, reference)
    return [Figure("signers recovered", figure, other, "/s", ratio, 0.7, False)]


def _signed(key: PrivateKey, number: int) -> Signed:
    address = to_checksum(address_of(key.public_key.format(compressed=False)))
    job_id, nonce = f"{number:032x}", str(time.time_ns())
    digest = personal_digest(status_text(address, job_id, "", nonce))
    raw = key.sign_recoverable(digest, hasher=None)
    signature = "0x" + (raw[:64] + bytes([27 + raw[64]])).hex()
    return Signed(address, job_id, nonce, signature, raw, digest)


def _per_second(began: float, requests: Sequence[Signed]) -> float:
    return len(requests) / (time.thread_time() - began)
