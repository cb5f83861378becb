"""The calls of the API as they come over the wire, made into those of :mod:`provider.jobs`.

The field names of old clients stand here and in ``responses`` and nowhere else. Rules are
kept by hand instead of in models, because clients see their exact texts, their order, and
which of them end the checking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provider.admission import AlgorithmChoice, DatasetChoice, RawAlgorithm
from provider.assets.ddo import Container
from provider.auth import messages
from provider.auth.caller import Claim
from provider.dialects.ocean.claims import made_claim
from provider.dialects.ocean.fields import Form, decoded
from provider.dialects.reading import Parameters
from provider.errors import InvalidRequest, KeyedRefusal, ProviderError
from provider.jobs import JobQuery, QuoteCall, StartCall

MAX_DATASETS = 64
MAX_CODE_CHARACTERS = 256 << 10

_FLAGS = {"true": True, "1": True, "false": False, "0": False}

_DATASET_PARTS = "consumerAddress + jobId + documentId + nonce"


def start(values: Parameters, token: str) -> StartCall:
    """computeStart."""
    form = Form(values)
    claim = _claim(form, token, "computeStart", _start_texts(form), _DATASET_PARTS)
    environment = form.text("environment", required=True)
    dataset = form.part("dataset")
    main = _dataset(dataset, required=True)
    form.check()
    additional = _additional(form.raw("additionalDatasets"))
    algorithm = _algorithm(form)
    _check_output(form.raw("output"))
    return StartCall(claim, environment, (main, *additional), algorithm)


def initialize(values: Parameters, now: float) -> QuoteCall:
    """initializeCompute."""
    form = Form(values)
    datasets = decoded(form.raw("datasets"))
    if not isinstance(datasets, list) or not datasets:
        form.fault("datasets", "field is required." if not datasets else "format is invalid.")
    compute = form.part("compute")
    environment = compute.text("env", required=True)
    until = compute.number("validUntil")
    consumer = form.address("consumerAddress")
    form.check()
    if until <= now:
        raise ProviderError("The validUntil value is not correct.", field="compute.validUntil")
    choices = tuple(_additional(datasets, whole=True))
    return QuoteCall(consumer, environment, until, choices, _algorithm(form, terse=True))


def status(values: Parameters, token: str) -> tuple[JobQuery, Claim | None]:
    """computeStatus. A signature counts when it can be checked: with address and nonce."""
    form = Form(values)
    query = _query(form)
    form.check()
    if not query.consumer and not query.job_id:
        form.fault("consumerAddress", "field is required when jobId is not present.")
    form.check()
    signature = form.text("signature")
    signed = signature and form.raw("nonce") not in (None, "")
    form.check()
    if not query.consumer or not (signed or token):
        return query, None
    texts = _job_texts(messages.status_text, query)
    claim = made_claim(form, token, "computeStatus", query.consumer, texts, _DATASET_PARTS)
    return query, claim


def stop(values: Parameters, token: str) -> tuple[Claim, JobQuery]:
    """computeStop. Without a jobId all unfinished jobs of the signer are meant."""
    return _wish(Form(values), token, "computeStop", messages.stop_text)


def delete(values: Parameters, token: str) -> tuple[Claim, JobQuery]:
    """computeDelete. One job or all on one DID, never all at once."""
    form = Form(values)
    if not form.raw("jobId") and not form.raw("documentId"):
        form.address("consumerAddress")
        form.fault("jobId", "field is required when documentId is not present.")
        form.check()
    return _wish(form, token, "computeDelete", messages.delete_text)


def result(values: Parameters, token: str) -> tuple[Claim, str, int]:
    """computeResult: claim, job id, index."""
    form = Form(values)
    job_id = form.text("jobId", required=True)
    form.check()
    index = form.number("index")
    form.check()
    words = "consumerAddress + jobId + index + nonce"
    claim = _claim(form, token, "computeResult", _result_texts(form, job_id), words)
    return claim, job_id, index


def receipt(values: Parameters, token: str) -> tuple[str, Claim | None]:
    """computeReceipt: job id, and a claim where the question is signed."""
    form = Form(values)
    job_id = form.text("jobId", required=True)
    consumer = form.address("consumerAddress", required=False)
    signature = form.text("signature")
    form.check()
    if not consumer or not (token or (signature and form.raw("nonce") not in (None, ""))):
        return job_id, None

    def texts(nonce: str) -> Sequence[str]:
        return [messages.receipt_text(consumer, job_id, nonce)]

    words = "consumerAddress + jobId + nonce"
    return job_id, made_claim(form, token, "computeReceipt", consumer, texts, words)


@dataclass(frozen=True, slots=True)
class LogCall:
    """computeStreamableLogs. ``stage`` is empty for all of the job's one after the other."""

    claim: Claim
    job_id: str
    stage: str
    offset: int
    follow: bool


def log(values: Parameters, token: str) -> LogCall:
    """computeStreamableLogs. Clients that say nothing else want it from the beginning, live."""
    form = Form(values)
    job_id = form.text("jobId", required=True)
    stage = form.identifier("stage")
    offset = 0 if form.raw("offset") in (None, "") else form.number("offset")
    follow = _flag(form, "follow", absent=True)
    form.check()
    words = "consumerAddress + jobId + nonce, or consumerAddress + nonce + getComputeStreamableLogs"
    claim = _claim(form, token, "computeStreamableLogs", _log_texts(form, job_id), words)
    return LogCall(claim, job_id, stage, offset, follow)


def create_token(values: Parameters, now: float) -> tuple[Claim, int]:
    """createAuthToken: claim, expiry in epoch seconds."""
    form = Form(values)
    form.address("address")
    form.check()
    expiration = form.number("expiration")
    form.check()
    if expiration <= now:
        raise InvalidRequest({"expiration": ["Invalid timestamp provided."]})
    return _auth_claim(form, "createAuthToken"), expiration


def delete_token(values: Parameters) -> tuple[Claim, str]:
    """deleteAuthToken: claim, token."""
    form = Form(values)
    form.address("address")
    form.check()
    token = form.text("token", required=True)
    form.check()
    return _auth_claim(form, "deleteAuthToken"), token


def user_address(values: Parameters) -> str:
    """nonce. Any text will do, as it always did: an unknown one has the first nonce."""
    form = Form(values)
    address = form.text("userAddress", required=True)
    form.check()
    return address


def container(value: Any) -> Container:
    """A container section. What is no text counts as missing."""
    section = decoded(value)
    if not isinstance(section, dict):
        return Container()
    texts = {
        name: text
        for name in ("image", "tag", "entrypoint", "checksum")
        if isinstance(text := section.get(name), str) and "\0" not in text
    }
    return Container(**texts)


def _claim(
    form: Form, token: str, operation: str, texts: Callable[[str], Sequence[str]], words: str
) -> Claim:
    consumer = form.address("consumerAddress")
    form.check()
    form.text("nonce", required=True)
    form.check()
    return made_claim(form, token, operation, consumer, texts, words)


def _auth_claim(form: Form, operation: str) -> Claim:
    form.text("nonce", required=True)
    form.text("signature", required=True)
    form.check()
    address = form.text("address")
    return made_claim(
        form,
        "",
        operation,
        address,
        lambda nonce: [messages.auth_text(address, nonce)],
        "address + nonce",
    )


def _wish(
    form: Form, token: str, operation: str, text: Callable[[str, str, str, str], str]
) -> tuple[Claim, JobQuery]:
    form.address("consumerAddress")
    form.check()
    query = _query(form)
    form.check()
    claim = made_claim(
        form,
        token,
        operation,
        query.consumer,
        _job_texts(text, query),
        _DATASET_PARTS,
        nonce_optional=True,
    )
    return claim, query


def _query(form: Form) -> JobQuery:
    return JobQuery(
        consumer=form.address("consumerAddress", required=False),
        job_id=form.text("jobId"),
        did=form.text("documentId"),
        agreement_id=form.text("agreementId"),
    )


def _job_texts(
    text: Callable[[str, str, str, str], str], query: JobQuery
) -> Callable[[str], Sequence[str]]:
    return lambda nonce: [text(query.consumer, query.job_id, query.did, nonce)]


def _start_texts(form: Form) -> Callable[[str], Sequence[str]]:
    def texts(nonce: str) -> Sequence[str]:
        did = form.part("dataset").text("documentId")
        consumer, job_id = form.text("consumerAddress"), form.text("jobId")
        return [messages.start_text(consumer, did, nonce, job_id)]

    return texts


def _result_texts(form: Form, job_id: str) -> Callable[[str], Sequence[str]]:
    """The old server left a JSON ``0`` out of the text it verified, so clients that send
    the index as a number may have left it out as well."""

    def texts(nonce: str) -> Sequence[str]:
        consumer, index = form.text("consumerAddress"), form.raw("index")
        shown = [form.text("index"), ""] if index == 0 else [form.text("index")]
        return [messages.result_text(consumer, job_id, each, nonce) for each in shown]

    return texts


def _log_texts(form: Form, job_id: str) -> Callable[[str], Sequence[str]]:
    def texts(nonce: str) -> Sequence[str]:
        consumer = form.text("consumerAddress")
        return [
            messages.log_text(consumer, job_id, nonce),
            messages.node_log_text(consumer, nonce),
        ]

    return texts


def _flag(form: Form, name: str, *, absent: bool) -> bool:
    value = form.raw(name)
    if value in (None, ""):
        return absent
    word = str(value).lower() if isinstance(value, str | bool) else str(value)
    if word not in _FLAGS:
        form.fault(name, "must be true or false.")
    return _FLAGS.get(word, absent)


def _dataset(form: Form, *, required: bool = False) -> DatasetChoice:
    return DatasetChoice(
        did=form.identifier("documentId", required=required),
        service_id=form.identifier("serviceId", required=required),
        order=form.transaction("transferTxId"),
        userdata=form.document("userdata"),
    )


def _additional(value: Any, *, whole: bool = False) -> Sequence[DatasetChoice]:
    """A list of datasets; ``whole`` when it is all of them, so that it starts at index 0."""
    items = decoded(value) or []
    if not isinstance(items, list) or len(items) > MAX_DATASETS:
        raise KeyedRefusal("additional_input", "invalid")
    choices = []
    for index, item in enumerate(items, 0 if whole else 1):
        if not isinstance(item, dict):
            raise KeyedRefusal("additional_input", "invalid")
        form = Form(item, f"datasets[{index}]." if index else "dataset.")
        choices.append(_dataset(form))
        form.check()
    return choices


def _algorithm(form: Form, *, terse: bool = False) -> AlgorithmChoice:
    """``algorithm``; ``terse`` where absence is told as a code instead of by field rules."""
    part = form.part("algorithm")
    did, meta = part.identifier("documentId"), part.raw("meta")
    if did and meta:
        raise KeyedRefusal("algorithm", "either_meta_or_documentId")
    if not did and not meta and terse:
        raise KeyedRefusal("algorithm", "missing_meta_documentId")
    if not meta and not terse:
        for name in ("documentId", "serviceId"):
            if not part.text(name):
                part.fault(name, "field is required when algorithm.meta is not present.")
    choice = AlgorithmChoice(
        did=did,
        service_id=part.identifier("serviceId"),
        raw=_raw_algorithm(meta) if meta else None,
        order=part.transaction("transferTxId"),
        userdata=part.document("userdata"),
        custom_data=part.document("algocustomdata"),
    )
    form.check()
    return choice


def _raw_algorithm(value: Any) -> RawAlgorithm:
    meta = decoded(value)
    if not isinstance(meta, dict):
        raise KeyedRefusal("algorithm", "meta_oneof_url_rawcode_remote")
    given = [name for name in ("rawcode", "url", "remote") if meta.get(name)]
    if given not in (["rawcode"], ["url"]):
        raise KeyedRefusal("algorithm", "meta_oneof_url_rawcode_remote")
    section = container(meta.get("container"))
    if given == ["url"]:
        return RawAlgorithm(section, file=_file_object(meta["url"]))
    if not isinstance(meta["rawcode"], str):
        raise KeyedRefusal("algorithm", "meta_oneof_url_rawcode_remote")
    if len(meta["rawcode"]) > MAX_CODE_CHARACTERS:
        name = "algorithm.meta.rawcode"
        limit = f"The {name} may be at most {MAX_CODE_CHARACTERS} characters."
        raise InvalidRequest({name: [f"{limit} Use a url for more."]})
    return RawAlgorithm(section, rawcode=meta["rawcode"])


def _file_object(url: Any) -> Mapping[str, Any]:
    given = decoded(url)
    if isinstance(given, str):
        return {"type": "url", "url": given, "method": "GET"}
    if isinstance(given, dict):
        return given
    raise KeyedRefusal("algorithm", "meta_oneof_url_rawcode_remote")


def _check_output(value: Any) -> None:
    if value and not isinstance(decoded(value), dict):
        raise KeyedRefusal("output", "invalid")
