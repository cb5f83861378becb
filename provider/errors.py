"""Everything the upper floor can refuse, and with which answer.

One tree is the API's error reference: a class names a fault, ``status`` is its HTTP
status, ``public`` the text a client reads. No text holds a signature, a token, a key or
a file URL. Dialects put these into their own envelopes; anything that is not a
ProviderError is a fault of ours and leaves as a bare 500 with a request id.
"""

from __future__ import annotations

import math


class ProviderError(Exception):
    """Base of all refusals. ``field`` names the parameter at fault, if it is one."""

    status = 400
    field: str = ""
    retry_after_s = 0.0
    """When the same request may do better, 0 where nobody knows."""

    def __init__(self, public: str, *, field: str | None = None) -> None:
        super().__init__(public)
        self.public = public
        if field is not None:
            self.field = field


class SettingsInvalid(ProviderError):
    """The configuration has a mistake; the text names variable and fix. Stops the start."""


class InvalidRequest(ProviderError):
    """Field rules fail. ``errors`` maps a dotted field name to its messages."""

    def __init__(self, errors: dict[str, list[str] | str]) -> None:
        super().__init__("Validation error")
        self.errors = errors


class RequestMalformed(ProviderError):
    """The request cannot be read at all: broken JSON, no text, nested too deeply."""


class SignatureError(ProviderError):
    """Base: who is asking could not be established."""

    field = "signature"


class SignatureMissing(SignatureError):
    """Neither a signature nor a token."""


class SignatureMalformed(SignatureError):
    """Not 65 bytes of hexadecimal r, s, v with v in 0, 1, 27, 28; or no key recovers."""


class SignatureWrong(SignatureError):
    """A signature, but not this wallet's over this request."""


class NonceTooLow(SignatureError):
    """The nonce is not greater than the last one used."""

    def __init__(self, stored: int, given: int) -> None:
        super().__init__(
            f"Invalid signature expected nonce ({stored}) > current nonce ({given})."
            " Ask for the last nonce and sign with a greater one."
        )
        self.stored = stored
        self.given = given


class NonceInvalid(ProviderError):
    """Not a whole number, not positive, or absurdly far ahead."""

    field = "nonce"


class TokenInvalid(SignatureError):
    """Not a token of this provider, or another wallet's."""


class TokenExpired(SignatureError):
    """The token's time is over."""


class TokenRevoked(SignatureError):
    """The token was deleted."""


class UnknownAsset(ProviderError):
    """No asset has this DID."""

    def __init__(self, did: str, *, field: str = "documentId") -> None:
        super().__init__(f"Cannot resolve DID {did}", field=field)
        self.did = did


class AssetsUnavailable(ProviderError):
    """The catalogue cannot be read at the moment: an asset not seen is not gone."""

    status = 503

    def __init__(self) -> None:
        super().__init__("Assets cannot be looked up at the moment; try again.")


class OtherProviderUnavailable(ProviderError):
    """A provider of which one of the assets is served does not answer, or not in time."""

    status = 503

    def __init__(self) -> None:
        super().__init__(
            "Another provider that one of the assets needs does not answer; try again."
        )


class UnsupportedChain(ProviderError):
    """A chain that this provider does not follow."""

    field = "chainId"

    def __init__(self, chain_id: object) -> None:
        super().__init__(f"Unsupported chain ID {chain_id}")


class ChainUnavailable(ProviderError):
    """No node of the chain gives a usable answer at the moment: nothing is known."""

    status = 503

    def __init__(self, chain_id: int, cause: str = "") -> None:
        super().__init__(f"Chain {chain_id} cannot be asked at the moment; try again.")
        self.chain_id = chain_id
        self.cause = cause


class RangeTooLarge(ProviderError):
    """Blocks hold more events than are kept at once: ask for fewer blocks.

    ``last`` is the last block of the range up to which they fit, at least its first, since
    a single block is never refused; None when that was not found out.
    """

    status = 503

    def __init__(self, chain_id: int, last: int | None) -> None:
        super().__init__(f"Chain {chain_id} has too many events in these blocks; ask for fewer.")
        self.chain_id = chain_id
        self.last = last


class CallRefused(ProviderError):
    """A contract reverted, or there is none at that address."""


class TransactionUnknown(ProviderError):
    """No node knows the transaction: never sent, or lost in a reorganisation."""

    field = "transferTxId"

    def __init__(self, tx: str) -> None:
        super().__init__(f"Transaction {tx} is not known on this chain.")


class TransactionPending(ProviderError):
    """The transaction is not in a block yet, or has too few confirmations; it may come."""

    field = "transferTxId"

    def __init__(self, tx: str, has: int, needs: int) -> None:
        super().__init__(
            f"Transaction {tx} has {has} of {needs} confirmations; try again in a moment."
        )


class OrderRefused(ProviderError):
    """An order does not give what is asked for; the text says which rule it breaks."""

    field = "transferTxId"


class AssetMalformed(ProviderError):
    """An asset's own document is unusable (undecryptable files, no such layout)."""


class FileObjectInvalid(ProviderError):
    """A file object lacks a key, has an unsafe one, or is of a type not served here."""


class BadParameter(ProviderError):
    """A consumer parameter is missing, of the wrong type or not among the options."""


class KeyedRefusal(ProviderError):
    """A rule says no, told as resource and code (``{"dataset.serviceId": "missing"}``)."""

    def __init__(self, resource: str, code: str) -> None:
        super().__init__(f"{resource}: {code}", field=resource)
        self.resource = resource
        self.code = code


class NotAllowed(ProviderError):
    """This wallet may not."""

    status = 403


class NoSuchJob(ProviderError):
    """No job of this id belongs to this wallet."""

    status = 404


class NoSuchResult(ProviderError):
    """The job has no result of this index (yet)."""

    status = 404


class NoSuchReceipt(ProviderError):
    """The job has no receipt (yet)."""

    status = 404


class LogOutgrown(ProviderError):
    """A log has lost its oldest part, so that offsets into it mean nothing any more."""

    status = 409
    field = "offset"


class OffsetBeyond(ProviderError):
    """A log ends before the byte that was asked for."""

    status = 416
    field = "offset"


class TooManyFollowers(ProviderError):
    """As many logs are being read as this service, or this wallet, may have open."""

    status = 429

    def __init__(self, most: int, whose: str) -> None:
        super().__init__(
            f"{most} logs are being followed {whose}, which is the limit. End one of them, or"
            " try again later."
        )


class TooManyJobs(ProviderError):
    """The environment's queue is full."""

    status = 429


class TooManyRequests(ProviderError):
    """An address, a wallet or a key asks too often."""

    status = 429

    def __init__(self, wait_s: float) -> None:
        self.retry_after_s = max(1.0, wait_s)
        seconds = math.ceil(self.retry_after_s)
        super().__init__(f"Too many requests; send this one again in {seconds} s, and fewer.")


class Stopping(ProviderError):
    """The service was told to end: it takes on nothing new, and forgets nothing it has."""

    status = 503

    def __init__(self, wait_s: float) -> None:
        self.retry_after_s = max(1.0, wait_s)
        super().__init__(
            "The service is being stopped or restarted and takes on nothing new. Nothing of this"
            f" request was used up: send the same one again in {math.ceil(self.retry_after_s)} s."
        )


class KeyWrong(ProviderError):
    """No key, or none that this API knows. The text is the same for both."""

    status = 401

    def __init__(self) -> None:
        super().__init__("A valid key is needed here.")


class NotLocal(ProviderError):
    """An API that has no keys serves the machine that it runs on."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "This API has no keys, so it answers only clients on its own machine that speak to"
            " it directly. Give it keys, or open it in its settings."
        )


class TaskExists(ProviderError):
    """A task of this name is there already."""

    status = 409

    def __init__(self, name: str) -> None:
        super().__init__(f"A task of the name {name} is there already.")


class UploadTooLarge(ProviderError):
    """An uploaded file is larger than this API takes."""

    status = 413

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"The file is larger than the {most_bytes} bytes that are taken here.")
