"""The reviewer's side: see what is held, look at it, release or refuse it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from provider.auth import messages
from provider.client.downloads import safe_path
from provider.client.errors import AnswerNotUnderstoodError, NotFoundError
from provider.client.models import Result
from provider.client.session import ProviderSession, no_progress
from provider.client.wallet import Call

Progress = Callable[[Result, int, int | None], None]


@dataclass(frozen=True, slots=True)
class HeldSource:
    """Somebody's rules by which a job is held: the ``environment``'s, or a dataset's by its DID.
    ``decision`` is empty, ``released`` or ``refused``."""

    source: str
    rules: tuple[str, ...] = ()
    decision: str = ""


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job whose results wait for this wallet. Times are seconds since the epoch.

    ``consumer`` asked for it. ``undecided`` is how many sources have to be decided yet, of all,
    ``sources`` are those that ask this wallet. Of ``files`` a list of jobs has the first ones.
    """

    id: str
    consumer: str
    environment: str
    status: int
    status_text: str
    inputs: tuple[str, ...] = ()
    algorithm: str = ""
    until: float | None = None
    undecided: int = 0
    sources: tuple[HeldSource, ...] = ()
    file_count: int = 0
    files: tuple[Result, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def rules(self) -> tuple[str, ...]:
        """Those that fired, each once."""
        return tuple(dict.fromkeys(rule for source in self.sources for rule in source.rules))

    @classmethod
    def from_wire(cls, document: Any) -> Self:
        if not isinstance(document, dict) or not document.get("jobId"):
            raise AnswerNotUnderstoodError("The provider's answer does not describe a held job.")
        files, until = _objects(document.get("files")), document.get("heldUntil")
        try:
            return cls(
                id=str(document["jobId"]),
                consumer=str(document.get("owner") or ""),
                environment=str(document.get("environment") or ""),
                status=int(document.get("status") or 0),
                status_text=str(document.get("statusText") or ""),
                inputs=tuple(map(str, document.get("inputDID") or ())),
                algorithm=str(document.get("algoDID") or ""),
                until=None if until is None else float(until),
                undecided=int(document.get("undecided") or 0),
                sources=tuple(map(_source, _objects(document.get("sources")))),
                file_count=int(document.get("fileCount") or len(files)),
                files=tuple(Result.from_wire(each, place) for place, each in enumerate(files)),
                raw=document,
            )
        except (TypeError, ValueError):
            raise AnswerNotUnderstoodError("A held job is described with a wrong field.") from None


class ReviewCalls(ProviderSession):
    """The calls of a wallet that decides what leaves."""

    async def held(self) -> list[HeldJob]:
        """The held jobs that ask this wallet, newest first, a hundred at most."""
        answer = await self._calls.json(self._held_call(""))
        if not isinstance(answer, list):
            raise AnswerNotUnderstoodError("The provider's answer does not list held jobs.")
        return [HeldJob.from_wire(each) for each in answer]

    async def held_job(self, job_id: str) -> HeldJob:
        """One of them, with all its files. Raises NotFoundError."""
        answer = await self._calls.json(self._held_call(job_id))
        if not isinstance(answer, list) or not answer:
            raise NotFoundError(f"No job {job_id} is held for this wallet.", status=404)
        return HeldJob.from_wire(answer[0])

    async def download_held(
        self,
        job_id: str,
        folder: Path | str,
        progress: Progress | None = None,
        *,
        overwrite: bool = False,
    ) -> list[Path]:
        """Bring all held files of a job into a folder, to be looked at; returns their paths."""
        paths = []
        for path, file in _places(Path(folder), (await self.held_job(job_id)).files).items():
            told = partial(progress, file) if progress else no_progress
            opener = partial(self._open_held, job_id, file.index)
            paths.append(await self._bring(opener, path, file.sha256, told, overwrite=overwrite))
        return paths

    async def release(self, job_id: str) -> HeldJob:
        """Let out what is held, as far as it is this wallet's to decide; how the job is then.

        It cannot be taken back. Raises NotFoundError, RefusedError when it is decided already.
        """
        return await self._decide(job_id, "release")

    async def refuse(self, job_id: str) -> HeldJob:
        """Have nothing of it leave; how the job is then. As :meth:`release`."""
        return await self._decide(job_id, "refuse")

    async def _decide(self, job_id: str, decision: str) -> HeldJob:
        call = Call(
            "computeRelease",
            {"consumerAddress": self.address, "jobId": job_id, "decision": decision},
            lambda nonce: messages.release_text(self.address, job_id, decision, nonce),
            job_id,
            as_body=True,
        )
        return HeldJob.from_wire(await self._calls.json(call))

    def _held_call(self, job_id: str) -> Call:
        parameters = {"consumerAddress": self.address}
        if job_id:
            parameters["jobId"] = job_id
        return Call(
            "computeHeld",
            parameters,
            lambda nonce: messages.held_text(self.address, job_id, nonce),
            job_id,
        )

    def _open_held(self, job_id: str, index: int, headers: Mapping[str, str]) -> Any:
        call = Call(
            "computeHeldResult",
            {"consumerAddress": self.address, "jobId": job_id, "index": str(index)},
            lambda nonce: messages.held_result_text(self.address, job_id, str(index), nonce),
            job_id,
            headers=headers,
        )
        return self._calls.open(call)


def _objects(listed: Any) -> list[dict[str, Any]]:
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _source(document: Mapping[str, Any]) -> HeldSource:
    rules = tuple(map(str, document.get("rules") or ()))
    return HeldSource(str(document.get("source") or ""), rules, str(document.get("decision") or ""))


def _places(folder: Path, files: Sequence[Result]) -> dict[Path, Result]:
    """A path of its own for each file, also for names that become the same."""
    places: dict[Path, Result] = {}
    for file in files:
        path = folder / safe_path(file.filename)
        while path in places:
            path = path.with_name(f"{file.index}-{path.name}")
        places[path] = file
    return places
