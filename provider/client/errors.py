"""What can go wrong for a consumer, and how a provider's refusal reads.

Every exception carries ``status`` (the HTTP status, None when there was no answer) and
``code`` (a stable word for programs, empty when the provider gave none); its text is a
sentence for people.

Providers answer refusals in several shapes: field rules (``errors``), one sentence
(``error``), or resource and code (``error`` as an object). ``refusal`` unfolds all of
them, and says in words what the known codes mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from provider import bounded_json

_NONCE_REFUSED = re.compile(r"expected nonce \(.*?\) > current nonce", re.DOTALL)
_CONSUMABLE = re.compile(r"denied with code: ConsumableCodes\.(\w+)")
_NO_SUCH_ASSET = re.compile(r"Cannot resolve DID\b|Invalid serviceId\.")
_NOT_FOUND_CODES = frozenset({"did_not_found", "not_found"})
_TEXT_LIMIT = 500

CODES: Mapping[str, str] = {
    "missing": "is missing",
    "invalid": "is not valid",
    "did_not_found": "no asset has this DID",
    "not_found": "the asset has no such service",
    "missing_meta_documentId": "neither a published nor a raw algorithm is given",
    "not_algo": "the asset is not an algorithm",
    "file_unavailable": "the file cannot be fetched",
    "in_use_or_not_on_chain": "there is no valid order for it",
    "compute_services_not_in_same_provider": "its service belongs to another provider",
    "meta_oneof_url_rawcode_remote": "a raw algorithm needs code or a URL",
    "missing_entrypoint_image_checksum": (
        "the image that runs the algorithm is not fully described: image, tag, checksum and"
        " entrypoint are needed (--image, --tag, --checksum, --entrypoint)"
    ),
    "checksum_prefix": "the checksum must start with sha256:",
    "no_raw_algo_allowed": "the dataset does not allow raw algorithms",
    "not_trusted_algo_publisher": "the dataset does not trust the algorithm's publisher",
    "egress_without_reviewer": (
        "the dataset's results are to be held, but nobody may release them; the data owner has to"
        " list wallets in compute.egress.reviewers of its document"
    ),
    "egress_filter_not_allowed": (
        "the dataset's filter image is not allowed in this environment; its operator has to add it"
        " to images.allow, or another environment has to be chosen"
    ),
    "not_trusted_algo": "the dataset does not trust this algorithm",
    "no_publisherTrustedAlgorithms": "the dataset trusts no algorithm",
    "algorithm_file_checksum_mismatch": "the algorithm's files are not the ones that were trusted",
    "algorithm_container_checksum_mismatch": (
        "the algorithm's container is not the one that was trusted"
    ),
    "fees_not_paid": "the provider's fee has not been paid",
    "ASSET_DISABLED": "the asset is not open for use",
    "CREDENTIAL_NOT_IN_ALLOW_LIST": "this wallet is not on the asset's list of who may use it",
    "CREDENTIAL_IN_DENY_LIST": "this wallet is on the asset's list of who may not use it",
}
"""What the codes of refused starts mean."""

_REMEDIES: Mapping[str, str] = {
    "Compute environment does not exist": (
        "The provider has no such environment; `ocean-compute environments` lists those it has."
    ),
}
"""Sentences that clients know by heart, and what they do not say."""


class ComputeClientError(Exception):
    """Base of all errors of the client."""

    def __init__(self, text: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class ClientUsageError(ComputeClientError):
    """The call itself cannot be right: no such key file, no such URL, no such name."""


class ProviderUnreachableError(ComputeClientError):
    """No usable answer: no connection, a broken one, a time-out, or 502, 503, 504.

    ``maybe_received`` tells whether the provider may nevertheless have got the request.
    """

    def __init__(self, text: str, *, maybe_received: bool, status: int | None = None) -> None:
        super().__init__(text, status=status)
        self.maybe_received = maybe_received


class AnswerNotUnderstoodError(ComputeClientError):
    """An answer, but not one that a provider gives."""


class RefusedError(ComputeClientError):
    """The provider said no."""


class NotAuthorisedError(RefusedError):
    """The provider does not accept who is asking, or does not let this wallet."""


class NonceRefusedError(NotAuthorisedError):
    """The nonce is not greater than the last one that the provider has seen."""


class NotFoundError(RefusedError):
    """No such job, result, asset, service or endpoint."""


class LogOutgrownError(RefusedError):
    """A log has lost its oldest part: it cannot be gone on with where one was."""


class ProviderBusyError(RefusedError):
    """Too many jobs or requests; later it may work."""


class ProviderFaultError(RefusedError):
    """A fault of the provider's own (500)."""


class FeeTooHighError(ComputeClientError):
    """The provider asks more than the buyer allows. Nothing was ordered."""


class StartUnclearError(ComputeClientError):
    """Whether the job was started could not be established. It was not started twice.

    ``candidates`` are ids of jobs that may be it.
    """

    def __init__(self, text: str, *, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(text, code="start_unclear")
        self.candidates = candidates


class DownloadFailedError(ComputeClientError):
    """A result could not be brought here whole, or not written where it was wanted."""


def refusal(status: int, body: bytes, request_id: str = "") -> ComputeClientError:
    """The error that an HTTP answer of 400 or more stands for."""
    code, text = unfold(body)
    text = text or f"The provider answered with HTTP status {status}."
    if status in (502, 503, 504):
        return ProviderUnreachableError(text, maybe_received=True, status=status)
    if status >= 500 and request_id:
        text = f"{text} (request {request_id})"
    return _class_of(status, code, text)(text, status=status, code=code)


def _class_of(status: int, code: str, text: str) -> type[RefusedError]:
    if _NONCE_REFUSED.search(text):
        return NonceRefusedError
    if status in (401, 403) or code == "signature" or code.startswith("CREDENTIAL_"):
        return NotAuthorisedError
    if status == 404 or code in _NOT_FOUND_CODES or _NO_SUCH_ASSET.search(text):
        return NotFoundError
    if status == 409 and "log has outgrown" in text:
        return LogOutgrownError
    if status == 429:
        return ProviderBusyError
    return ProviderFaultError if status >= 500 else RefusedError


def unfold(body: bytes) -> tuple[str, str]:
    """Code and sentence of a refusal's body, in whichever shape it comes."""
    try:
        document = bounded_json.loads(body)
    except ValueError:
        return "", plain(body.decode("utf-8", "replace"))
    if not isinstance(document, dict):
        return "", plain(body.decode("utf-8", "replace"))
    if isinstance(document.get("errors"), dict):
        return _field_rules(document["errors"])
    error = document.get("error", document.get("message", ""))
    if isinstance(error, dict):
        return _keyed(error)
    return _consumable(str(error)), _REMEDIES.get(str(error)) or plain(str(error))


def plain(text: str, limit: int = _TEXT_LIMIT) -> str:
    """One line of printable text, shortened: what a stranger sent is shown on a terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _field_rules(errors: Mapping[str, Any]) -> tuple[str, str]:
    messages = []
    for rules in errors.values():
        messages.extend(rules if isinstance(rules, list) else [rules])
    code = "signature" if "signature" in errors else ",".join(errors)
    return plain(code), plain(" ".join(str(message) for message in messages))


def _keyed(error: Mapping[str, Any]) -> tuple[str, str]:
    codes = [_consumable(str(code)) or str(code) for code in error.values()]
    sentences = [
        f"{resource}: {CODES.get(code, code)}" for resource, code in zip(error, codes, strict=True)
    ]
    return plain(",".join(codes)), plain("; ".join(sentences).rstrip(".") + ".")


def _consumable(text: str) -> str:
    """The word in a refusal by an asset's own lists, which comes as a sentence."""
    found = _CONSUMABLE.search(text)
    return found[1] if found else ""
