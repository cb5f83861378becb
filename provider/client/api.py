"""The client: one provider, one wallet, every call of the job API."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from provider.auth import messages
from provider.client.downloads import Progress, safe_path
from provider.client.errors import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    NotAuthorisedError,
    NotFoundError,
)
from provider.client.logs import LogStream
from provider.client.models import (
    Algorithm,
    Dataset,
    Environment,
    Job,
    RawAlgorithm,
    Result,
    algorithm_of,
    environments_from_wire,
)
from provider.client.ordering import Buyer, Ordered, Payer, Told
from provider.client.receipts import ReceiptCalls
from provider.client.session import NOT_OPENED, Options, no_progress
from provider.client.signed import SignedCalls
from provider.client.starting import Starter
from provider.client.transport import network_errors
from provider.client.wallet import Call, Key

ResultProgress = Callable[[Result, int, int | None], None]
"""Called with a result, its bytes that are here, and its bytes in all, if known."""


_RESOURCE = re.compile(r"(?P<kind>algorithm|dataset|datasets\[(?P<index>\d{1,4})\])[.:]")
"""How a refusal begins that is about one asset."""


class ComputeClient(ReceiptCalls):
    """A consumer at one provider. Use it as an async context manager.

    ``key`` is an eth_account account, a private key as hexadecimal text, or the path of a
    file that holds one. ``session`` is used but not closed when given. ``typed`` signs the
    stricter EIP-712 form, for the chain ``chain_id`` where the provider serves several.
    ``metadata_url`` is where published assets are described (an Aquarius API), by default
    the provider itself.

    Everything raises :class:`~provider.client.errors.ComputeClientError` in one of its
    forms. Calls that may be repeated are, while the provider cannot be reached; each
    repetition is signed anew.
    """

    def __init__(self, url: str, key: Key, **options: Unpack[Options]) -> None:
        super().__init__(url, key, **options)
        self._starts: Starter | None = None
        self._status_needs_signature = False

    def _begin(self, calls: SignedCalls) -> None:
        self._starts = Starter(calls, self.jobs, self._patience)

    # What is offered

    async def environments(self, chain_id: int | None = None) -> list[Environment]:
        """The environments offered, all or those of one chain."""
        query = {} if chain_id is None else {"chainId": str(chain_id)}
        found = environments_from_wire(await self._ask("computeEnvironments", query))
        return [one for one in found if chain_id is None or one.chain_id in (None, str(chain_id))]

    async def initialize_compute(
        self,
        environment: str,
        datasets: Dataset | str | Sequence[Dataset | str],
        algorithm: Algorithm | str,
        *,
        duration_s: int = 3600,
    ) -> dict[str, Any]:
        """Check a job before its start: per asset ``validOrder``, ``providerFee`` … as sent.

        Datasets and a published algorithm may be given as ``DID`` or ``DID#serviceId``.
        ``duration_s`` is how long from now the environment is wanted. Raises what a start
        would be refused with.
        """
        chosen, algorithm = _datasets(datasets), algorithm_of(algorithm)
        body = {
            "datasets": [dataset.to_wire() for dataset in chosen],
            "algorithm": algorithm.to_wire(),
            "compute": {"env": environment, "validUntil": int(time.time()) + duration_s},
            "consumerAddress": self.address,
        }
        with _naming_assets(chosen, algorithm):
            answer = await self._ask("initializeCompute", body=body)
        if not isinstance(answer, dict):
            raise AnswerNotUnderstoodError("The provider's answer holds no quote.")
        return answer

    async def order_for(
        self,
        environment: str,
        datasets: Dataset | str | Sequence[Dataset | str],
        algorithm: Algorithm | str,
        *,
        pay: Payer,
        duration_s: int | None = None,
        most_fee: int | None = None,
        told: Told | None = None,
    ) -> Ordered:
        """Order what a job of ``duration_s`` needs and does not have yet, with the wallet ``pay``.

        Orders that datasets and algorithm carry along (``transfer_tx_id``) are used and
        renewed where they can be. ``duration_s`` counts from now and covers waiting and
        staging too; by default it is the longest that the environment runs a job.
        ``most_fee`` is what the provider may ask for all in all, in its token's base units:
        beyond it FeeTooHighError is raised before anything is ordered. ``told`` is called
        with each order once it is made.
        """
        chosen, algorithm = _datasets(datasets), algorithm_of(algorithm)
        place = await self._environment(environment, pay.chain_id)
        seconds = place.longest_s if duration_s is None else duration_s
        answer = await self.initialize_compute(environment, chosen, algorithm, duration_s=seconds)
        buyer = Buyer(pay, self.address, self.service_index, most_fee=most_fee, told=told)
        consumer = place.consumer_address or self.address
        return await buyer.for_job(answer, chosen, algorithm, consumer)

    # Jobs

    async def start(
        self,
        environment: str,
        datasets: Dataset | str | Sequence[Dataset | str],
        algorithm: Algorithm | str,
        *,
        additional_datasets: Sequence[Dataset | str] = (),
        pay: Payer | None = None,
        duration_s: int | None = None,
        most_fee: int | None = None,
        told: Told | None = None,
    ) -> Job:
        """Start a job; the first of ``datasets`` is the main one.

        Datasets and a published algorithm may be given as ``DID`` or ``DID#serviceId``.
        With ``pay``, what it needs is ordered before (see :meth:`order_for`). Never starts
        two: see :mod:`provider.client.starting`. Raises StartUnclearError when it cannot be
        known whether the job was started.
        """
        chosen = [*_datasets(datasets), *map(Dataset.of, additional_datasets)]
        algorithm = algorithm_of(algorithm)
        if pay is not None:
            ordered = await self.order_for(
                environment,
                chosen,
                algorithm,
                pay=pay,
                duration_s=duration_s,
                most_fee=most_fee,
                told=told,
            )
            chosen, algorithm = list(ordered.datasets), ordered.algorithm
        main, *more = chosen
        parameters: dict[str, Any] = {
            "consumerAddress": self.address,
            "environment": environment,
            "dataset": main.to_wire(),
            "algorithm": algorithm.to_wire(),
        }
        if more:
            parameters["additionalDatasets"] = [dataset.to_wire() for dataset in more]
        call = Call(
            "computeStart",
            parameters,
            lambda nonce: messages.start_text(self.address, main.did, nonce),
            as_body=True,
        )
        with _naming_assets([main, *more], algorithm):
            return await self._starter.start(call)

    async def status(self, job_id: str) -> Job:
        """The job as it is now. Raises NotFoundError."""
        if not self._status_needs_signature:
            query = {"consumerAddress": self.address, "jobId": job_id}
            try:
                return _only_job(await self._ask("computeStatus", query))
            except NotAuthorisedError:
                self._status_needs_signature = True
        return _only_job(await self._calls.json(self._job_call("computeStatus", job_id)))

    async def jobs(self) -> list[Job]:
        """All jobs of this wallet, newest first."""
        answer = await self._calls.json(self._job_call("computeStatus", ""))
        if not isinstance(answer, list):
            raise AnswerNotUnderstoodError("The provider's answer does not list jobs.")
        jobs = [Job.from_wire(item) for item in answer]
        return sorted(jobs, key=lambda job: job.created or 0.0, reverse=True)

    async def follow(self, job_id: str) -> AsyncIterator[Job]:
        """The job now, then each time its status changed, or what it waits for in the queue,
        until it is finished.

        Polls, more slowly the longer nothing changes.
        """
        pauses = self._patience.pauses()
        seen: tuple[int, str, bool] | None = None
        told = ""
        while True:
            job = await self.status(job_id)
            now = (job.status, job.status_text, job.finished)
            if now != seen:
                seen, told, pauses = now, job.waits_for, self._patience.pauses()
                yield job
            elif job.waits_for != told:
                told = job.waits_for
                yield job
            if job.finished:
                return
            await self._patience.sleep(next(pauses))

    async def wait(self, job_id: str, timeout_s: float | None = None) -> Job:
        """The job once it is finished. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            async for job in self.follow(job_id):
                if job.finished:
                    return job
        raise AssertionError("a job that is followed ends finished")

    async def stop(self, job_id: str) -> Job:
        """Ask for the job's end. It has stopped when :meth:`wait` returns."""
        return _only_job(await self._calls.json(self._job_call("computeStop", job_id)))

    async def delete(self, job_id: str) -> None:
        """Have the job removed: its container, files and results."""
        await self._calls.json(self._job_call("computeDelete", job_id))

    # Results

    async def results(self, job_id: str) -> tuple[Result, ...]:
        """The files that the job published so far."""
        return (await self.status(job_id)).results

    async def stream(self, job_id: str, index: int) -> AsyncIterator[bytes]:
        """A result's bytes as they arrive; a break is not mended (see :meth:`download`)."""
        async with self._calls.open(self._result_call(job_id, index, {})) as response:
            with network_errors():
                async for chunk in response.content.iter_any():
                    yield chunk

    async def read(self, job_id: str, index: int) -> bytes:
        """A result in memory, for small ones."""

        async def attempt() -> bytes:
            return b"".join([chunk async for chunk in self.stream(job_id, index)])

        return await self._patience.persist(attempt)

    async def log_stream(
        self, job_id: str, *, stage: str = "", offset: int = 0, follow: bool = True
    ) -> AsyncGenerator[bytes, None]:
        """What the job has printed and prints, from byte ``offset`` on.

        Without ``stage`` the logs of all stages one after the other. With ``follow`` it ends
        with the last stage, else with what there is now. A broken connection is mended: what
        comes is each byte once. Raises NotFoundError, LogOutgrownError, ClientUsageError
        where the provider streams no logs.
        """
        stream = LogStream(self._calls, self._patience, job_id, stage, follow=follow)
        async with aclosing(stream.pieces(offset)) as pieces:
            async for piece in pieces:
                yield piece

    async def log(self, job_id: str) -> bytes:
        """What the algorithm printed. Raises NotFoundError until it is published."""
        job = await self.status(job_id)
        if job.log is None:
            raise NotFoundError(f"Job {job_id} has no log yet: {job.status_text}.")
        return await self.read(job_id, job.log.index)

    async def download(
        self,
        job_id: str,
        index: int,
        target: Path | str,
        progress: Progress | None = None,
        *,
        overwrite: bool = False,
    ) -> Path:
        """Bring one result to disk; returns its path.

        ``target`` is a file, or a folder in which the result keeps a safe form of its own
        name: one that exists, or a text that ends with ``/``. Resumes what an earlier call
        left as ``*.part``. A file that is already there is kept if it is the same, and
        replaced only with ``overwrite``. Raises NotFoundError, DownloadFailedError.
        """
        result = _result(await self.status(job_id), index)
        path = Path(target)
        ends_as_folder = isinstance(target, str) and target.endswith(("/", os.sep))
        if ends_as_folder or await asyncio.to_thread(path.is_dir):
            path = path / safe_path(result.filename)
        told = progress or no_progress
        return await self._download(job_id, result, path, told, overwrite=overwrite)

    async def download_all(
        self,
        job_id: str,
        folder: Path | str,
        progress: ResultProgress | None = None,
        *,
        overwrite: bool = False,
    ) -> list[Path]:
        """Bring all results into a folder, which is made if need be; returns their paths."""
        job = await self.status(job_id)
        paths = []
        for path, result in _places(Path(folder), job.results).items():
            told = partial(progress, result) if progress else no_progress
            paths.append(await self._download(job_id, result, path, told, overwrite=overwrite))
        return paths

    # Tokens

    async def create_token(self, lifetime_s: int) -> str:
        """A token that stands in for signatures, in a header ``AuthToken``, for a while."""
        expiration = str(int(time.time()) + lifetime_s)
        call = self._auth_call("create_auth_token", {"expiration": expiration})
        answer = await self._calls.json(call)
        if not isinstance(answer, dict) or not isinstance(answer.get("token"), str):
            raise AnswerNotUnderstoodError("The provider's answer holds no token.")
        return str(answer["token"])

    async def delete_token(self, token: str) -> None:
        """Make a token void."""
        await self._calls.json(self._auth_call("delete_auth_token", {"token": token}))

    # How it is done

    @property
    def _starter(self) -> Starter:
        if self._opened is None or self._starts is None:
            raise ClientUsageError(NOT_OPENED)
        return self._starts

    async def _environment(self, environment: str, chain_id: int) -> Environment:
        """The environment as it is offered on a chain."""
        for found in await self.environments(chain_id):
            if found.id == environment:
                return found
        raise NotFoundError(f"No environment {environment!r} is offered on chain {chain_id}.")

    def _job_call(self, operation: str, job_id: str) -> Call:
        """Status, stop and delete sign the same text."""
        parameters = {"consumerAddress": self.address}
        if job_id:
            parameters["jobId"] = job_id
        return Call(
            operation,
            parameters,
            lambda nonce: messages.stop_text(self.address, job_id, "", nonce),
            job_id,
        )

    def _result_call(self, job_id: str, index: int, headers: Mapping[str, str]) -> Call:
        return Call(
            "computeResult",
            {"consumerAddress": self.address, "jobId": job_id, "index": str(index)},
            lambda nonce: messages.result_text(self.address, job_id, str(index), nonce),
            job_id,
            headers=headers,
        )

    def _auth_call(self, operation: str, parameters: Mapping[str, str]) -> Call:
        return Call(
            operation,
            {"address": self.address, **parameters},
            lambda nonce: messages.auth_text(self.address, nonce),
        )

    async def _download(
        self, job_id: str, result: Result, path: Path, progress: Progress, *, overwrite: bool
    ) -> Path:
        return await self._bring(
            lambda headers: self._calls.open(self._result_call(job_id, result.index, headers)),
            path,
            result.sha256,
            progress,
            overwrite=overwrite,
        )


def _datasets(given: Dataset | str | Sequence[Dataset | str]) -> list[Dataset]:
    assets: list[Any] = [given]
    if isinstance(given, Iterable) and not isinstance(given, str | Mapping):
        assets = list(given)
    if not assets:
        raise ClientUsageError("A job needs a dataset.")
    return [Dataset.of(asset) for asset in assets]


@contextmanager
def _naming_assets(datasets: Sequence[Dataset], algorithm: Algorithm) -> Iterator[None]:
    """Adds to a refusal of what was not found which asset and service were asked for."""
    try:
        yield
    except NotFoundError as error:
        asset = _asset_of(str(error), datasets, algorithm)
        if asset is None or isinstance(asset, RawAlgorithm):
            raise
        text = f"{error} Asked for was service {asset.service_id!r} of {asset.did}."
        raise NotFoundError(text, status=error.status, code=error.code) from None


def _asset_of(
    refusal: str, datasets: Sequence[Dataset], algorithm: Algorithm
) -> Dataset | Algorithm | None:
    """The asset that a refusal is about, by its first word."""
    found = _RESOURCE.match(refusal)
    if found is None:
        return None
    if found["kind"] == "algorithm":
        return algorithm
    position = int(found["index"] or 0)
    return datasets[position] if position < len(datasets) else None


def _only_job(answer: Any) -> Job:
    if isinstance(answer, list):
        if not answer:
            raise NotFoundError("The provider knows no such job of this wallet.", status=404)
        answer = answer[0]
    return Job.from_wire(answer)


def _result(job: Job, index: int) -> Result:
    for result in job.results:
        if result.index == index:
            return result
    raise NotFoundError(f"Job {job.id} has no result {index} (yet).", status=404)


def _places(folder: Path, results: Sequence[Result]) -> dict[Path, Result]:
    """A path of its own for each result, also for names that become the same."""
    places: dict[Path, Result] = {}
    for result in results:
        path = folder / safe_path(result.filename)
        while path in places:
            path = path.with_name(f"{result.index}-{path.name}")
        places[path] = result
    return places
