"""What the commands do: ask the client, show the answer, choose the exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from typer import Exit

from provider.cli.failures import tell
from provider.cli.output import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    exit_code,
    leave,
    print_json,
    print_line,
    print_table,
    say,
    when,
)
from provider.cli.paying import Bought, Purse
from provider.cli.requests import Request
from provider.cli.sealing import opening, wanted_key
from provider.cli.watching import describe, transfer_bars, watch
from provider.client import ComputeClient, ComputeClientError, Job, Result
from provider.client.errors import ClientUsageError, plain
from provider.client.opening import Opening

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """Which provider, as whom, and how to show the answer."""

    url: str
    key: str = field(repr=False)
    as_json: bool = False
    typed: bool = False
    metadata_url: str = ""

    def client(self) -> ComputeClient:
        return ComputeClient(self.url, self.key, typed=self.typed, metadata_url=self.metadata_url)


@dataclass(frozen=True, slots=True)
class Keys:
    """What ``download`` was told about encrypted results."""

    file: str
    decrypt: bool
    keep_sealed: bool

    def opening(self, target: Target) -> Opening | None:
        return opening(target.key, self.file, decrypt=self.decrypt, keep_sealed=self.keep_sealed)


def environments(target: Target, chain_id: int | None) -> None:
    """Without a key any will do: nothing is signed."""
    key: Any = target.key or "1".zfill(64)

    async def work() -> None:
        async with ComputeClient(target.url, key) as client:
            found = await client.environments(chain_id)
        if target.as_json:
            print_json([{**one.raw, "chainId": one.chain_id} for one in found])
            return
        rows = [
            [
                plain(one.id, 80),
                str(one.chain_id or "-"),
                _told(one.raw, "cpuNumber", "nCPU"),
                _told(one.raw, "ramGB"),
                _told(one.raw, "gpuNumber", "nGPU"),
                _told(one.raw, "maxJobDuration"),
                _told(one.raw, "priceMin"),
                plain(one.description, 80),
            ]
            for one in found
        ]
        columns = ["environment", "chain", "cpu", "ram GB", "gpu", "max s", "price/min", ""]
        print_table(columns, rows)

    run(work)


def start(
    target: Target,
    request: Request,
    purse: Purse,
    *,
    follow: bool,
    folder: Path | None,
    overwrite: bool,
) -> None:
    job_id, bought = "", Bought(purse)

    async def work() -> Job:
        nonlocal job_id
        datasets, algorithm = request.the_datasets(), request.the_algorithm()
        wallet = purse.wallet(target.key)
        async with target.client() as client:
            environment = request.environment or await _only_environment(client)
            public_key = wanted_key(client, request.encrypt_to, encrypt=request.encrypt)
            job = await client.start(
                environment,
                datasets,
                algorithm,
                pay=wallet,
                duration_s=request.duration_s,
                most_fee=purse.most_fee,
                told=bought,
                encrypt_to=public_key,
            )
            job_id = job.id
            if not (follow or folder):
                return job
            say(f"Job {job.id} at {plain(environment)}")
            job = await watch(client.follow(job.id))
            if folder is not None:
                own = opening(target.key, decrypt=request.encrypt)
                await _download_all(client, job, folder, own, overwrite=overwrite)
            return job

    def interrupted() -> str:
        if not job_id:
            return "Interrupted. The job may have been started: see 'ocean-compute status'."
        return keeps_running(job_id)

    job = run(work, interrupted, lambda text: "" if job_id else bought.advice(text))
    _show_job(target, job)
    leave_with(job)


def status(target: Target, job_id: str, *, follow: bool) -> None:
    async def work() -> Job:
        async with target.client() as client:
            return await (watch(client.follow(job_id)) if follow else client.status(job_id))

    job = run(work, lambda: keeps_running(job_id))
    _show_job(target, job)
    if follow:
        leave_with(job)
    elif job.failed and not target.as_json:
        tell(job)


def jobs(target: Target) -> None:
    async def work() -> list[Job]:
        async with target.client() as client:
            return await client.jobs()

    found = run(work)
    if target.as_json:
        print_json([job.raw for job in found])
        return
    rows = [
        [job.id, describe(job), plain(job.environment, 80), when(job.created), when(job.ended)]
        for job in found
    ]
    print_table(["job", "status", "environment", "created", "finished"], rows)


def results(target: Target, job_id: str) -> None:
    async def work() -> Job:
        async with target.client() as client:
            return await client.status(job_id)

    job = run(work)
    if target.as_json:
        print_json(job.raw.get("results") or [])
        return
    if not job.finished:
        say(f"The job is not finished: {describe(job)}")
    rows = [
        [str(one.index), plain(one.type, 30), _size(one.filesize), plain(one.filename, 300)]
        for one in job.results
    ]
    print_table(["index", "type", "bytes", "file"], rows)


def download(
    target: Target, job_id: str, index: int | None, to: str, keys: Keys, *, overwrite: bool
) -> None:
    async def work() -> Sequence[Path]:
        how = keys.opening(target)
        async with target.client() as client:
            job = await client.status(job_id)
            if index is None:
                return await _download_all(client, job, Path(to), how, overwrite=overwrite)
            with transfer_bars() as bars:
                one = Result(index, f"result {index}", None, "")
                path = await client.download(
                    *(job_id, index, to, lambda *told: bars(one, *told)),
                    overwrite=overwrite,
                    opening=how,
                )
            return [path]

    interrupted = "Interrupted. The same command goes on where it stopped."
    paths = run(work, lambda: interrupted)
    if target.as_json:
        print_json([str(path) for path in paths])
    else:
        for path in paths:
            print_line(str(path))


def stop(target: Target, job_id: str, *, follow: bool) -> None:
    async def work() -> Job:
        async with target.client() as client:
            job = await client.stop(job_id)
            return await watch(client.follow(job_id)) if follow else job

    _show_job(target, run(work))


def delete(target: Target, job_id: str) -> None:
    async def work() -> None:
        async with target.client() as client:
            await client.delete(job_id)

    run(work)
    if target.as_json:
        print_json({"jobId": job_id, "deleted": True})
    else:
        say(f"Job {job_id} is deleted.")


def run(
    work: Callable[[], Coroutine[Any, Any, T]],
    interrupted: Callable[[], str] = lambda: "Interrupted.",
    advice: Callable[[str], str] = lambda text: "",
) -> T:
    """Run to the end, or leave with the exit code of what went wrong.

    ``advice`` gives what helps against the text of what went wrong, or nothing.
    """
    try:
        return asyncio.run(work())
    except ComputeClientError as error:
        text = str(error)
        leave(f"{text} {advice(text)}".strip(), exit_code(error))
    except KeyboardInterrupt:
        text = interrupted()
        leave(f"{text} {advice(text)}".strip(), EXIT_INTERRUPTED)


async def _only_environment(client: ComputeClient) -> str:
    ids = sorted({one.id for one in await client.environments()})
    if len(ids) != 1:
        raise ClientUsageError(
            f"Choose one with --environment: {', '.join(plain(one, 80) for one in ids) or 'none'}."
        )
    return ids[0]


async def _download_all(
    client: ComputeClient, job: Job, folder: Path, how: Opening | None, *, overwrite: bool
) -> Sequence[Path]:
    if not job.finished:
        say(f"The job is not finished: {describe(job)}")
    elif not job.results:
        say("The job has no results.")
    with transfer_bars() as bars:
        return await client.download_all(job.id, folder, bars, overwrite=overwrite, opening=how)


def keeps_running(job_id: str) -> str:
    return (
        f"Interrupted; job {job_id} keeps running. Go on with"
        f" 'ocean-compute status {job_id} --follow', end it with 'ocean-compute stop {job_id}'."
    )


def _show_job(target: Target, job: Job) -> None:
    if target.as_json:
        print_json(job.raw)
    else:
        print_line(f"{job.id}\t{describe(job)}")


def leave_with(job: Job) -> None:
    """A job that is over and did not succeed is a failed command."""
    if job.finished and not job.succeeded:
        tell(job)
        raise Exit(EXIT_FAILED)


def _told(raw: Mapping[str, Any], *names: str) -> str:
    return next((plain(str(raw[name]), 30) for name in names if raw.get(name) is not None), "-")


def _size(size: int | None) -> str:
    return "-" if size is None else str(size)
