"""``audit``: look at the log of who asked for what, take it elsewhere, and check it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provider.cli.options import Json
from provider.cli.output import (
    EXIT_FAILED,
    EXIT_USAGE,
    leave,
    print_json,
    print_line,
    print_table,
    say,
)

if TYPE_CHECKING:
    from provider.auditing.reading import AuditLog
    from provider.auditing.records import Record
    from provider.auditing.verifying import Report, Verifier
    from provider.settings import Settings

audit_app = typer.Typer(
    help="The audit log: who asked for what, what was decided, what was done.",
    no_args_is_help=True,
)

_HEAD = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")
_TIME = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?Z?)?)?)?", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

_FIRST_CELLS = ("sequence", "time", "kind", "actor", "decision")


@audit_app.callback()
def _audit() -> None:
    """The audit log: who asked for what, what was decided, what was done.

    The settings of the service say where it is; it may be running.
    """


@audit_app.command()
def verify(
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="A head that was kept, from an audit_head line of the log; repeat it for more.",
            metavar="NUMBER:HASH",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Check an export; needs no settings.", metavar="EXPORT")
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(help="An address that the provider has or had; repeat it for more."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that nothing was changed, left out, moved or written anew since it was written.

    Exit codes: 0 nothing was; 1 something was, told in words; 2 the log could not be read.
    """
    from provider.auditing.verifying import Verifier

    kept, addresses = _heads(head or []), _addresses(address or [])
    if file is not None:
        verifier = Verifier(addresses, kept, whole=False)
        _check_file(verifier, file)
    else:
        settings = _settings()
        verifier = Verifier([settings.key.address, *addresses], kept)
        asyncio.run(_check_database(verifier, settings))
    report = verifier.report()
    _tell(report, known=file is None or bool(addresses), as_json=as_json)
    if not report.sound:
        raise typer.Exit(EXIT_FAILED)


@audit_app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to make; - for stdout.")],
    since: Annotated[
        str, typer.Option(help="From this time on (UTC), as 2026-01-31 or 2026-01-31T12:00.")
    ] = "",
    until: Annotated[str, typer.Option(help="Before this time (UTC).")] = "",
) -> None:
    """Write records as JSON lines, to be kept or checked elsewhere."""
    _require_times(since, until)
    if str(file) == "-":
        count = asyncio.run(_export(since, until, None))
    else:
        count = asyncio.run(_export(since, until, file))
    say(f"{count} records")


@audit_app.command()
def show(
    job: Annotated[str, typer.Option(help="All records about this job.", metavar="JOB")] = "",
    last: Annotated[int, typer.Option(min=1, max=10_000, help="So many, if no job is named.")] = 20,
    as_json: Json = False,
) -> None:
    """Show records: of a job, or the newest."""
    found = [_values(record) for record in asyncio.run(_found(job, last))]
    if as_json:
        print_json(found)
        return
    print_table(["Number", "Time", "What", "Who", "Decision", "About"], [_row(e) for e in found])


def _values(record: Record) -> dict[str, Any]:
    """What a record says; what somebody made of it may be anything."""
    try:
        values = json.loads(record.body)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict):
        return values
    return {"sequence": record.sequence, "text": "This record cannot be read; see 'audit verify'."}


def _row(values: dict[str, Any]) -> list[str]:
    details = values.get("details")
    named = details.items() if isinstance(details, dict) else ()
    about = [
        str(values.get("job", "")),
        ": ".join(str(values[each]) for each in ("reason", "text") if values.get(each)),
        *(f"{name}={_told(each)}" for name, each in named if each != ""),
    ]
    first = [str(values.get(each, "")) for each in _FIRST_CELLS]
    return [_printable(each) for each in (*first, " ".join(part for part in about if part))]


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_told, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


async def _found(job: str, last: int) -> list[Record]:
    async with _log() as log:
        if not job:
            return await log.newest(last)
        return [record async for record in log.all(job=job)]


async def _export(since: str, until: str, file: Path | None) -> int:
    import os
    import sys

    from provider.auditing.reading import line_of

    count = 0
    async with _log() as log:
        if file is None:
            out = sys.stdout
        else:
            try:
                descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                leave(f"{file} is there already; name another file.", EXIT_USAGE)
            except OSError as error:
                leave(f"{file} cannot be written: {error.strerror}.", EXIT_USAGE)
            out = os.fdopen(descriptor, "w", encoding="utf-8")
        try:
            async for record in log.all(since=since, until=until):
                out.write(line_of(record) + "\n")
                count += 1
            out.flush()
        finally:
            if file is not None:
                out.close()
    return count


async def _check_database(verifier: Verifier, settings: Settings) -> None:
    async with _log(settings) as log:
        async for record in log.all():
            verifier.add(record)


def _check_file(verifier: Verifier, file: Path) -> None:
    from provider.auditing.reading import records_of

    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, record in records_of(lines):
                if record is None:
                    verifier.unreadable(number)
                else:
                    verifier.add(record)
    except OSError as error:
        leave(f"{file} cannot be read: {error.strerror}.", EXIT_USAGE)


def _tell(report: Report, *, known: bool, as_json: bool) -> None:
    if as_json:
        names = ("records", "first", "last", "last_hash", "last_time", "heads", "signed")
        told = {name: getattr(report, name) for name in names}
        lists = {"signers": list(report.signers), "findings": list(report.findings)}
        print_json({"sound": report.sound, **told, **lists, "faults": report.faults})
        return
    for finding in report.findings:
        print_line(finding)
    if report.faults > len(report.findings):
        print_line(f"… and {report.faults - len(report.findings)} more.")
    if not report.sound:
        print_line(f"The log is NOT sound: {report.faults} faults in {report.records} records.")
        return
    print_line(
        f"The log is sound: {report.records} records, {report.first} to {report.last}"
        f" ({report.last_time})."
    )
    signers = ", ".join(report.signers) or "nobody"
    heads = "1 head" if report.heads == 1 else f"{report.heads} heads"
    print_line(f"Signed up to record {report.signed} by {signers}, in {heads}.")
    if not known:
        print_line("Whether that is the provider was not checked: give its address by --address.")
    print_line(f"Its head, to be kept elsewhere: {report.last}:{report.last_hash}")


@asynccontextmanager
async def _log(settings: Settings | None = None) -> AsyncIterator[AuditLog]:
    from compute.errors import StoreUnavailable
    from provider.auditing.reading import opened

    url = (settings or _settings()).database_url
    try:
        async with opened(url) as log:
            yield log
    except StoreUnavailable as error:
        leave(error.public, EXIT_USAGE)


def _settings() -> Settings:
    from provider.errors import SettingsInvalid
    from provider.settings import Settings

    try:
        return Settings.from_environ()
    except SettingsInvalid as error:
        leave(error.public, EXIT_USAGE)


def _heads(texts: list[str]) -> dict[int, str]:
    found = {text: _HEAD.fullmatch(text.strip()) for text in texts}
    for text, match in found.items():
        if match is None:
            leave(f"{text[:100]} is no head; write NUMBER:HASH.", EXIT_USAGE)
    return {int(match[1]): match[2] for match in found.values() if match}


def _addresses(texts: list[str]) -> list[str]:
    for text in texts:
        if not _ADDRESS.fullmatch(text):
            leave(f"{text[:100]} is no address; write 0x and 40 digits.", EXIT_USAGE)
    return texts


def _require_times(*texts: str) -> None:
    for text in texts:
        if text and not _TIME.fullmatch(text):
            leave(f"{text[:100]} is no time; write 2026-01-31 or 2026-01-31T12:00.", EXIT_USAGE)
