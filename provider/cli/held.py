"""``held``: what waits for this wallet, to be looked at, released or refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provider.cli.options import JobId, Json, Typed, Url

if TYPE_CHECKING:
    from provider.cli.actions import Target
    from provider.client.reviews import HeldJob

held_app = typer.Typer(
    help="Results that a data owner, whose wallet this is, has to release or refuse.",
    no_args_is_help=True,
)

_SHOWN_RULES = 300

Key = Annotated[
    str,
    typer.Option(
        "--key",
        envvar="OCEAN_COMPUTE_KEY",
        help="The file of the reviewer's private key (see 'key new').",
        metavar="FILE",
    ),
]


@held_app.command("list")
def list_(
    url: Url,
    key: Key,
    job: Annotated[
        str, typer.Argument(metavar="[JOB]", help="Its files; all jobs if left out.")
    ] = "",
    typed: Typed = False,
    as_json: Json = False,
) -> None:
    """List the jobs that wait for this wallet, or the files of one."""
    from provider.cli.actions import Target, run
    from provider.cli.output import print_json, print_table

    target = Target(url, key, as_json=as_json, typed=typed)

    async def work() -> list[HeldJob]:
        async with target.client() as client:
            return [await client.held_job(job)] if job else await client.held()

    found = run(work)
    if as_json:
        print_json([each.raw for each in found])
    elif job:
        print_table(["index", "type", "bytes", "sha256", "file"], _files(found[0]))
    else:
        print_table(
            ["job", "until", "undecided", "files", "consumer", "environment", "inputs", "rules"],
            [_row(each) for each in found],
        )


@held_app.command()
def look(
    url: Url,
    key: Key,
    job: JobId,
    to: Annotated[Path, typer.Option("--to", "-o", metavar="FOLDER", help="Where to put them.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    typed: Typed = False,
    as_json: Json = False,
) -> None:
    """Bring what is held of a job into a folder; prints the paths.

    The files are an algorithm's: open them as you would open what a stranger has sent.
    """
    from provider.cli.actions import Target, run
    from provider.cli.output import print_json, print_line
    from provider.cli.watching import transfer_bars

    target = Target(url, key, as_json=as_json, typed=typed)

    async def work() -> list[Path]:
        async with target.client() as client:
            with transfer_bars() as bars:
                return await client.download_held(job, to, bars, overwrite=overwrite)

    interrupted = "Interrupted. The same command goes on where it stopped."
    paths = [str(path) for path in run(work, lambda: interrupted)]
    if as_json:
        print_json(paths)
        return
    for path in paths:
        print_line(path)


@held_app.command()
def release(url: Url, key: Key, job: JobId, typed: Typed = False, as_json: Json = False) -> None:
    """Let the results of a job out. It cannot be taken back."""
    from provider.cli.actions import Target

    _decide(Target(url, key, as_json=as_json, typed=typed), job, release=True)


@held_app.command()
def refuse(url: Url, key: Key, job: JobId, typed: Typed = False, as_json: Json = False) -> None:
    """Have nothing of a job leave; what is held is removed. It cannot be taken back."""
    from provider.cli.actions import Target

    _decide(Target(url, key, as_json=as_json, typed=typed), job, release=False)


def _decide(target: Target, job_id: str, *, release: bool) -> None:
    from provider.cli.actions import run
    from provider.cli.output import print_json, print_line, say
    from provider.client.errors import plain

    async def work() -> HeldJob:
        async with target.client() as client:
            return await (client.release(job_id) if release else client.refuse(job_id))

    job = run(work)
    if target.as_json:
        print_json(job.raw)
        return
    print_line(f"{job.id}\t{job.status} {plain(job.status_text, 100)}")
    if release and job.undecided:
        say(f"Released. {job.undecided} more of those whose rules hold it have to decide.")


def _row(job: HeldJob) -> list[str]:
    from provider.cli.output import when
    from provider.client.errors import plain

    return [
        job.id,
        when(job.until),
        str(job.undecided),
        str(job.file_count),
        plain(job.consumer, 80),
        plain(job.environment, 80),
        plain(" ".join(job.inputs), 300),
        plain("; ".join(job.rules), _SHOWN_RULES) or "-",
    ]


def _files(job: HeldJob) -> list[list[str]]:
    from provider.client.errors import plain

    return [
        [
            str(file.index),
            plain(file.type, 30),
            "-" if file.filesize is None else str(file.filesize),
            plain(file.sha256, 64),
            plain(file.filename, 300),
        ]
        for file in job.files
    ]
