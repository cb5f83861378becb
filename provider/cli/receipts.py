"""``receipt`` and ``verify``: get a job's receipt, and say in words what holds of one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Exit

from provider.cli.actions import Target, run
from provider.cli.output import EXIT_FAILED, EXIT_USAGE, leave, print_json, print_line, say
from provider.client.errors import plain

if TYPE_CHECKING:
    from provider.receipts.verifying import Check, Report

_LONGEST = 1000


def receipt(target: Target, job_id: str, file: Path | None, *, overwrite: bool) -> None:
    """Write it as it came: what is not the same byte for byte does not verify."""

    async def work() -> tuple[bytes, Sequence[str]]:
        async with target.client() as client:
            return await client.receipt(job_id), addresses(await client.provider())

    envelope, providers = run(work)
    if file is None:
        import sys

        sys.stdout.buffer.write(envelope)
        sys.stdout.buffer.write(b"\n" if sys.stdout.isatty() else b"")
    else:
        _write(file, envelope, overwrite=overwrite)
        print_line(str(file))
    _warn(envelope, providers)


def verify(
    file: Path,
    results: Path | None,
    providers: Sequence[str],
    url: str,
    *,
    as_json: bool,
) -> None:
    from provider.auth.signatures import is_address
    from provider.receipts import verifying

    for address in providers:
        if not is_address(address):
            leave(f"{plain(address, 100)} is no address; write 0x and 40 digits.", EXIT_USAGE)
    envelope = _read(file)
    known = [*providers, *(_asked(url) if url else ())]
    report = verifying.verify(envelope, providers=known)
    checks = [*report.checks]
    if results is not None and report.statement is not None:
        checks += _compared(report.statement["predicate"], results)
    whole = verifying.Report(checks, report.statement)
    told = verifying.summary(report.account) if report.account else []
    if as_json:
        facts = [{"holds": check.holds, "text": check.text} for check in checks]
        print_json({"holds": whole.holds, "checks": facts, "statement": report.statement})
    else:
        _tell(whole, told)
    if not whole.holds:
        raise Exit(EXIT_FAILED)


def addresses(root: Mapping[str, Any]) -> list[str]:
    """Those that a provider's root document tells."""
    by_chain = root.get("providerAddresses")
    found = [root.get("providerAddress")]
    found += by_chain.values() if isinstance(by_chain, dict) else []
    return list(dict.fromkeys(each for each in found if isinstance(each, str)))


def _asked(url: str) -> list[str]:
    from provider.client import ComputeClient

    async def work() -> list[str]:
        # Nothing is signed: any key will do.
        async with ComputeClient(url, "1".zfill(64)) as client:
            return addresses(await client.provider())

    found = run(work)
    if not found:
        leave("The provider tells no address of its own.", EXIT_FAILED)
    return found


def _compared(account: Mapping[str, Any], folder: Path) -> list[Check]:
    from provider.receipts import verifying

    try:
        return verifying.verify_results(account, folder)
    except OSError as error:
        leave(f"{folder} cannot be read: {error.strerror}.", EXIT_USAGE)


_WORDS = {True: "holds", False: "DOES NOT HOLD", None: "not checked"}


def _tell(report: Report, told: Sequence[str]) -> None:
    for check in report.checks:
        print_line(f"{_WORDS[check.holds]}: {plain(check.text, _LONGEST)}")
    for line in told:
        print_line(f"stated: {plain(line, _LONGEST)}")
    if report.holds:
        print_line("All that was checked holds: this is what the signer states of the job.")
    else:
        print_line("NOT all of it holds.")


def _warn(envelope: bytes, providers: Sequence[str]) -> None:
    from provider.receipts import verifying

    report = verifying.verify(envelope, providers=providers)
    for check in report.checks:
        if check.holds is False:
            say(f"The receipt does NOT hold: {plain(check.text, _LONGEST)}")
    if not report.holds:
        raise Exit(EXIT_FAILED)


def _read(file: Path) -> bytes:
    from provider.receipts.verifying import MOST_BYTES

    try:
        with file.open("rb") as source:
            return source.read(MOST_BYTES + 1)
    except OSError as error:
        leave(f"{file} cannot be read: {error.strerror}.", EXIT_USAGE)


def _write(file: Path, envelope: bytes, *, overwrite: bool) -> None:
    how = os.O_TRUNC if overwrite else os.O_EXCL
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | how, 0o644)
        with os.fdopen(descriptor, "wb") as out:
            out.write(envelope)
    except FileExistsError:
        leave(f"{file} is there already; name another file, or --overwrite it.", EXIT_USAGE)
    except OSError as error:
        leave(f"{file} cannot be written: {error.strerror}.", EXIT_USAGE)
