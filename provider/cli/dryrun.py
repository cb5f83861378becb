"""``dry-run``: options, and how a dry run is shown."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provider.cli.options import Checksum, CustomData, Entrypoint, Image, Tag
from provider.cli.output import EXIT_FAILED, EXIT_USAGE, leave, print_json, print_line, say

if TYPE_CHECKING:
    from compute.models import Job
    from provider.dryrun.making import Asked
    from provider.dryrun.report import Report

_CLEARING = "One moment: what the dry run has made is being taken away."
_JSON_HELP = "Print JSON for machines, to stdout only."


def dry_run(
    algorithm: Annotated[
        str,
        typer.Argument(
            metavar="ALGORITHM", help="A file, a DID or DID#SERVICE, or DID[#SERVICE]=FILE."
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="PATH",
            help="A dataset: a file, a folder, or DID[#SERVICE]=PATH; repeat it for more.",
        ),
    ] = None,
    sample: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DID",
            help="A dataset: the sample that its owner has published; repeat it for more.",
        ),
    ] = None,
    environment: Annotated[
        str,
        typer.Option(
            "--environment",
            "-e",
            metavar="URL#ID",
            help="A provider's environment, or the id of one in ENVIRONMENTS_FILE.",
        ),
    ] = "",
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask the provider again what is kept of it.")
    ] = False,
    image: Image = "",
    tag: Tag = "",
    checksum: Checksum = "",
    entrypoint: Entrypoint = "",
    service: Annotated[
        str, typer.Option(help="Service id of DIDs that are given without #SERVICE.")
    ] = "",
    algocustomdata: CustomData = "",
    key: Annotated[
        str,
        typer.Option(
            envvar="OCEAN_COMPUTE_KEY", metavar="FILE", help="The wallet whose job it would be."
        ),
    ] = "",
    owner: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The same without a key: its address.")
    ] = "",
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy what comes out into this folder.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files there.")] = False,
    receipt: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the statement that a receipt would hold."),
    ] = None,
    no_gpu: Annotated[
        bool, typer.Option("--no-gpu", help="Run without the environment's GPUs.")
    ] = False,
    no_network: Annotated[
        bool, typer.Option("--no-network", help="Run without the environment's network.")
    ] = False,
    metadata_url: Annotated[
        str,
        typer.Option(
            envvar="OCEAN_COMPUTE_METADATA_URL",
            metavar="URL",
            help="Where assets are described, if not by the provider.",
        ),
    ] = "",
    environments_file: Annotated[
        Path | None,
        typer.Option(
            envvar="ENVIRONMENTS_FILE",
            metavar="FILE",
            help="Environments of one's own; environments.yaml here if there is one.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(envvar="DOCKER_HOST", metavar="ADDRESS", help="The container engine.")
    ] = "",
    cache: Annotated[
        Path | None,
        typer.Option(
            envvar="XDG_CACHE_HOME", metavar="DIR", help="Where what was asked is kept; ~/.cache."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help=_JSON_HELP)] = False,
) -> None:
    """Try an algorithm here, as an environment would run it. Nothing is sent anywhere.

    Exit code 0 when a provider would complete the job and hand out its results, else 1.
    """
    from provider.dryrun.making import Asked

    asked = Asked(
        algorithm=algorithm,
        inputs=tuple(inputs or ()),
        samples=tuple(sample or ()),
        environment=environment,
        refresh=refresh,
        image=image,
        tag=tag,
        checksum=checksum,
        entrypoint=entrypoint,
        service=service,
        key=key,
        owner=owner,
        results=results,
        overwrite=overwrite,
        gpus=not no_gpu,
        network=not no_network,
        metadata_url=metadata_url,
        environments_file=environments_file,
        engine=engine or None,
        cache=cache,
    )
    _run(asked, algocustomdata, receipt, as_json=as_json)


def _run(asked: Asked, custom_data: str, receipt: Path | None, *, as_json: bool) -> None:
    from compute.errors import ComputeError
    from provider.cli.actions import run
    from provider.cli.interrupts import interruptible
    from provider.cli.loglines import shower
    from provider.cli.requests import read_json
    from provider.dryrun.making import try_out
    from provider.dryrun.running import Screen

    # Its warnings are for operators; what the person has to know is said.
    logging.getLogger().addHandler(logging.NullHandler())
    begun = time.monotonic()
    show: Callable[..., None] = shower(sys.stderr)

    def moved(job: Job, note: str) -> None:
        more = f" ({note})" if note else ""
        say(f"{time.monotonic() - begun:7.1f} s  {job.phase.number} {job.phase.text}{more}")

    async def work() -> Report:
        data = read_json("--algocustomdata", custom_data)
        trying = try_out(replace(asked, custom_data=data), Screen(moved, show, say))
        return await interruptible(trying, lambda: say(_CLEARING))

    try:
        report = run(work, lambda: "Interrupted. Nothing is left of the dry run.")
    except ComputeError as error:
        leave(error.public, EXIT_USAGE)
    show(b"", final=True)
    _tell(report, receipt, as_json=as_json)
    if not report.passes:
        raise typer.Exit(EXIT_FAILED)


def _tell(report: Report, receipt: Path | None, *, as_json: bool) -> None:
    import json

    from provider.cli.failures import lines
    from provider.cli.output import print_table
    from provider.client.errors import plain
    from provider.client.models import Failure
    from provider.dryrun.report import document, words

    if receipt is not None and report.statement is None:
        say("There is no receipt: of what is held there is none before somebody has decided.")
    elif receipt is not None:
        try:
            receipt.write_text(json.dumps(report.statement, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            say(f"{receipt} cannot be written: {error.strerror}.")
    if as_json:
        print_json(document(report))
        return
    for name, value in words(report):
        print_line(f"{name:<10}  {plain(value, 400)}")
    failure = Failure.from_wire(document(report)["job"].get("failure"))
    for line in lines(failure) if failure else ():
        print_line(line)
    rows = [
        [str(file.index), str(file.filesize), file.sha256, plain(file.filename, 300)]
        for file, _ in report.results
    ]
    print_table(["index", "bytes", "sha256", "file"], rows)
