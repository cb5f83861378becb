"""A job's log on standard output, also while it grows."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TextIO

from typer import Exit

from provider.cli.actions import Target, keeps_running, leave_with, run
from provider.client import ComputeClient, Job
from provider.client.errors import ClientUsageError
from provider.client.logs import OPERATION


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of the log: of all stages where ``stage`` is empty, from byte ``offset``."""

    follow: bool
    stage: str
    offset: int


def logs(target: Target, job_id: str, wanted: Wanted) -> None:
    done = wanted.offset

    async def work() -> Job | None:
        nonlocal done
        async with target.client() as client:
            show = shower()
            async with aclosing(await _pieces(client, job_id, wanted)) as pieces:
                async for piece in pieces:
                    show(piece)
                    done += len(piece)
            show(b"", final=True)
            whole = wanted.follow and not wanted.stage
            return await client.wait(job_id) if whole else None

    def interrupted() -> str:
        if not wanted.follow:
            return "Interrupted."
        stage = f" --stage {wanted.stage}" if wanted.stage else ""
        more = f"ocean-compute logs {job_id} --follow{stage} --offset {done}"
        return f"{keeps_running(job_id)} The log goes on with '{more}'."

    job = run(work, interrupted)
    if job is not None:
        leave_with(job)


async def _pieces(
    client: ComputeClient, job_id: str, wanted: Wanted
) -> AsyncGenerator[bytes, None]:
    """Live where the provider can, else what was published where that will do."""
    if await client.offers(OPERATION):
        return client.log_stream(
            job_id, stage=wanted.stage, offset=wanted.offset, follow=wanted.follow
        )
    if wanted.follow or wanted.stage:
        raise ClientUsageError(
            "This provider cannot show logs while jobs run, or by stages. Leave out --follow and"
            " --stage for the log that it publishes when the job has ended."
        )
    return _published(client, job_id, wanted.offset)


async def _published(
    client: ComputeClient, job_id: str, offset: int
) -> AsyncGenerator[bytes, None]:
    yield (await client.log(job_id))[offset:]


@contextmanager
def _while_read() -> Iterator[None]:
    """Ends the command when nobody reads its output any more."""
    try:
        yield
    except BrokenPipeError:
        # Else the interpreter would try once more, and complain, when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit from None


def shower(stream: TextIO | None = None) -> Callable[..., None]:
    """Prints bytes as they are; on a terminal as text, without what would command it. On
    standard output unless another ``stream`` is given."""
    to = stream or sys.stdout
    if not to.isatty():

        def plain(piece: bytes, *, final: bool = False) -> None:
            with _while_read():
                to.buffer.write(piece)
                to.buffer.flush()

        return plain
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def cleaned(piece: bytes, *, final: bool = False) -> None:
        text = decoder.decode(piece, final)
        to.write("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text))
        to.flush()

    return cleaned
