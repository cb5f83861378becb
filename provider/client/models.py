"""What a consumer asks for and what comes back, as values.

Answers are read leniently: both generations of providers are understood, and whatever
else a provider says stays available as ``raw``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from provider.client.errors import AnswerNotUnderstoodError, ClientUsageError

DEFAULT_SERVICE = "0"
COMPLETED = 70
_HOUR_S = 3600
_STOPPED, _DELETED = 7, 8
LOG_TYPE = "algorithmLog"

_SUFFIXES: Mapping[str, tuple[str, str]] = {
    ".py": ("python", "python3 $ALGO"),
    ".sh": ("shell", "sh $ALGO"),
    ".js": ("javascript", "node $ALGO"),
    ".r": ("r", "Rscript $ALGO"),
}


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def split_asset(text: str, service_id: str = DEFAULT_SERVICE) -> tuple[str, str]:
    """``DID#serviceId`` as its two parts; without ``#`` the given service."""
    did, mark, service = text.partition("#")
    if not did or (mark and not service):
        raise ClientUsageError(f"{text!r} is not an asset: DID or DID#serviceId was expected.")
    return did, service or service_id


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset by DID. ``userdata`` are its consumer parameters."""

    did: str
    service_id: str = DEFAULT_SERVICE
    userdata: Mapping[str, Any] | None = None
    transfer_tx_id: str | None = None

    @classmethod
    def of(cls, asset: Dataset | str) -> Dataset:
        """A dataset as it is, or from ``DID`` or ``DID#serviceId``. Raises ClientUsageError."""
        if isinstance(asset, Dataset):
            return asset
        if not isinstance(asset, str):
            raise ClientUsageError(
                f"A dataset is a Dataset, or DID or DID#serviceId, not {_kind(asset)}."
            )
        return cls(*split_asset(asset))

    def to_wire(self) -> dict[str, Any]:
        return _without_none(
            {
                "documentId": self.did,
                "serviceId": self.service_id,
                "transferTxId": self.transfer_tx_id,
                "userdata": self.userdata,
            }
        )


@dataclass(frozen=True, slots=True)
class PublishedAlgorithm:
    """An algorithm by DID. ``custom_data`` becomes ``algoCustomData.json`` in the container."""

    did: str
    service_id: str = DEFAULT_SERVICE
    userdata: Mapping[str, Any] | None = None
    custom_data: Any = None
    transfer_tx_id: str | None = None

    def to_wire(self) -> dict[str, Any]:
        return _without_none(
            {
                "documentId": self.did,
                "serviceId": self.service_id,
                "transferTxId": self.transfer_tx_id,
                "userdata": self.userdata,
                "algocustomdata": self.custom_data,
            }
        )


@dataclass(frozen=True, slots=True)
class RawAlgorithm:
    """An algorithm sent along: its code, and the container image that runs it.

    ``entrypoint`` is a command line in which ``$ALGO`` stands for the code's path;
    ``checksum`` is ``sha256:…`` of the image.
    """

    code: str = field(repr=False)
    image: str
    entrypoint: str
    tag: str = ""
    checksum: str = ""
    language: str = ""
    version: str = ""
    custom_data: Any = None

    @classmethod
    def from_file(
        cls,
        path: Path | str,
        *,
        image: str,
        tag: str = "",
        checksum: str = "",
        entrypoint: str = "",
        custom_data: Any = None,
    ) -> Self:
        """An algorithm from a text file; the entrypoint is chosen by its suffix if not given."""
        path = Path(path)
        language, usual = _SUFFIXES.get(path.suffix.lower(), ("", ""))
        if not (entrypoint or usual):
            raise ClientUsageError(
                f"No entrypoint is known for {path.name}: give one, such as 'python3 $ALGO'."
            )
        try:
            code = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise ClientUsageError(f"The algorithm {path} is not a readable text file.") from None
        return cls(
            code, image, entrypoint or usual, tag, checksum, language, custom_data=custom_data
        )

    def to_wire(self) -> dict[str, Any]:
        container = {
            "image": self.image,
            "tag": self.tag,
            "entrypoint": self.entrypoint,
            "checksum": self.checksum,
        }
        meta = {
            "rawcode": self.code,
            "language": self.language,
            "version": self.version,
            "container": container,
        }
        return _without_none({"meta": meta, "algocustomdata": self.custom_data})


Algorithm = RawAlgorithm | PublishedAlgorithm


def algorithm_of(given: Algorithm | str) -> Algorithm:
    """An algorithm as it is, or a published one from ``DID`` or ``DID#serviceId``.

    Raises ClientUsageError.
    """
    if isinstance(given, RawAlgorithm | PublishedAlgorithm):
        return given
    if not isinstance(given, str):
        raise ClientUsageError(
            "An algorithm is a RawAlgorithm, a PublishedAlgorithm, or DID or DID#serviceId,"
            f" not {_kind(given)}."
        )
    if not given.startswith("did:"):
        raise ClientUsageError(
            "An algorithm that is given as text is DID or DID#serviceId; a file is read with"
            " RawAlgorithm.from_file."
        )
    return PublishedAlgorithm(*split_asset(given))


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


@dataclass(frozen=True, slots=True)
class Result:
    """One file that a job published. ``filename`` may hold folders and is the algorithm's
    choice: never use it as a path unchecked. ``sha256`` is empty where it is not told."""

    index: int
    filename: str
    filesize: int | None
    type: str
    sha256: str = ""

    @classmethod
    def from_wire(cls, document: Mapping[str, Any], position: int) -> Self:
        size = document.get("filesize")
        return cls(
            index=_whole(document.get("index"), position),
            filename=str(document.get("filename") or f"result-{position}"),
            filesize=size if isinstance(size, int) else None,
            type=str(document.get("type") or ""),
            sha256=str(document.get("sha256") or ""),
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed. ``evidence`` is what was seen of it, ``who`` can do something about it
    (``consumer``, ``data_owner``, ``operator``), ``retry`` is what comes of starting the job
    again (``helps``, ``helps_later``, ``does_not_help``), ``tries`` how often the provider
    tried."""

    reason: str
    cause: str
    evidence: str = ""
    who: tuple[str, ...] = ()
    retry: str = ""
    advice: str = ""
    tries: int = 1

    @classmethod
    def from_wire(cls, document: Any) -> Self | None:
        """None for what does not describe a failure, as of a provider that tells none."""
        if not isinstance(document, dict) or not document.get("cause"):
            return None
        who = document.get("whoCanFix")
        return cls(
            reason=str(document.get("reason") or ""),
            cause=str(document["cause"]),
            evidence=str(document.get("evidence") or ""),
            who=tuple(map(str, who)) if isinstance(who, list) else (),
            retry=str(document.get("retry") or ""),
            advice=str(document.get("advice") or ""),
            tries=_whole(document.get("tries"), 1),
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the provider describes it. Times are seconds since the epoch.

    ``status`` is the number, ``reason`` a word that tells a failure apart, ``detail`` a
    sentence about it, ``failure`` the whole of it where the provider tells. ``waits_for`` tells
    what one in the queue waits for, where the provider does. ``raw`` is the provider's whole
    description.
    """

    id: str
    status: int
    status_text: str
    environment: str = ""
    owner: str = ""
    created: float | None = None
    ended: float | None = None
    results: tuple[Result, ...] = ()
    exit_code: int | None = None
    reason: str = ""
    detail: str = ""
    waits_for: str = ""
    failure: Failure | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def finished(self) -> bool:
        """True once nothing more will happen to it."""
        return self.ended is not None

    @property
    def succeeded(self) -> bool:
        return self.finished and self.status == COMPLETED

    @property
    def failed(self) -> bool:
        """True when it ended otherwise than by itself or by its owner's wish."""
        return self.finished and self.status not in (COMPLETED, _STOPPED, _DELETED)

    @property
    def log(self) -> Result | None:
        """The algorithm's log among the results, once it is published."""
        return next((result for result in self.results if result.type == LOG_TYPE), None)

    @classmethod
    def from_wire(cls, document: Any) -> Self:
        if not isinstance(document, dict) or not document.get("jobId"):
            raise AnswerNotUnderstoodError("The provider's answer does not describe a job.")
        end = document.get("terminationDetails")
        end = end if isinstance(end, dict) else {}
        listed = document.get("results")
        return cls(
            id=str(document["jobId"]),
            status=_whole(document.get("status"), 0),
            status_text=str(document.get("statusText") or "").strip(),
            environment=str(document.get("environment") or ""),
            owner=str(document.get("owner") or ""),
            created=_seconds(document.get("dateCreated")),
            ended=_seconds(document.get("dateFinished")),
            results=_results(listed),
            exit_code=end["exitCode"] if isinstance(end.get("exitCode"), int) else None,
            reason=str(end.get("reason") or ""),
            detail=str(end.get("detail") or ""),
            waits_for=str(document.get("queueDetail") or ""),
            failure=Failure.from_wire(document.get("failure")),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Environment:
    """A compute environment. ``chain_id`` is None where the provider serves no chain;
    ``raw`` is the provider's whole description (``cpuNumber``, ``ramGB``, ``priceMin`` …)."""

    id: str
    description: str = ""
    chain_id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def longest_s(self) -> int:
        """How long a job may run, in seconds; an hour where that is not told."""
        return _whole(self.raw.get("maxJobDuration"), 0) or _HOUR_S

    @property
    def consumer_address(self) -> str:
        """Whom jobs' assets are ordered for, so that the environment may fetch them."""
        return str(self.raw.get("consumerAddress") or "")


def environments_from_wire(document: Any) -> list[Environment]:
    """Environments from a flat list, or from lists by chain id."""
    by_chain = document if isinstance(document, dict) else {None: document}
    found = []
    for chain_id, listed in by_chain.items():
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise AnswerNotUnderstoodError("The provider's answer does not list environments.")
        found += [
            Environment(str(item.get("id")), str(item.get("desc") or ""), chain_id, item)
            for item in listed
        ]
    return found


def _results(listed: Any) -> tuple[Result, ...]:
    if not isinstance(listed, list):
        return ()
    return tuple(
        Result.from_wire(item, position)
        for position, item in enumerate(listed)
        if isinstance(item, dict)
    )


def _whole(value: Any, default: int) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return default


def _seconds(value: Any) -> float | None:
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None
