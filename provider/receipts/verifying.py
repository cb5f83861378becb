"""Checking a receipt, and results against it: one sentence for each fact.

Needs nobody: what the receipt says of itself, what it says of files that lie here, and who
signed it. Whether that is the provider, only somebody who knows the provider can tell.
Receipts and folders may be hostile: nothing is followed out of the folder, and each check ends.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compute.sealing import SUFFIX
from provider import bounded_json
from provider.client.downloads import safe_path
from provider.receipts import dsse
from provider.receipts.statement import PREDICATE, STATEMENT, canonical, subjects

MOST_BYTES = 256 << 20
"""Of a receipt."""

_READ_BYTES = 1 << 20
_NOT_KNOWN = "the receipt does not know it"
_TOLD = 20
"""Surplus files that are told one by one."""


@dataclass(frozen=True, slots=True)
class Check:
    """One fact. ``holds`` is None for what could not be checked."""

    holds: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """``statement`` is what was signed, None where that cannot be read."""

    checks: Sequence[Check]
    statement: Mapping[str, Any] | None = None

    @property
    def holds(self) -> bool:
        return all(check.holds is not False for check in self.checks)

    @property
    def account(self) -> Mapping[str, Any] | None:
        """The predicate of a receipt that holds in itself."""
        return self.statement["predicate"] if self.statement and self.holds else None


def verify(envelope: bytes, *, providers: Sequence[str] = ()) -> Report:
    """Check a receipt by itself, and that one of ``providers`` (addresses) has signed it."""
    if len(envelope) > MOST_BYTES:
        return Report([Check(False, f"The file is no receipt: it has over {MOST_BYTES} bytes.")])
    try:
        opened = dsse.opened(envelope)
    except dsse.EnvelopeInvalid as error:
        return Report([Check(False, f"The file is no signed envelope (DSSE). {error}")])
    checks = [
        _check(
            dsse.is_canonical(envelope),
            "The file is an envelope (DSSE) in its one canonical form.",
            "The file is not in the one canonical form of an envelope: it was written anew or"
            " changed after it was signed.",
        ),
        _check(
            opened.signer == opened.key_id,
            f"The signature over the statement is good: {opened.signer} has signed it.",
            f"The signature is not that of the key it names, {opened.key_id}: the statement, the"
            " signature or the name of the key was changed.",
        ),
        _signer(opened.signer, providers),
        _check(
            opened.payload_type == dsse.PAYLOAD_TYPE,
            "What is signed is a statement (in-toto).",
            f"What is signed is called {opened.payload_type}, not {dsse.PAYLOAD_TYPE}.",
        ),
    ]
    found = _statement(opened.payload)
    fault = _fault_of(opened.payload, found)
    checks.append(_check(not fault, "The statement is the account of one job, and whole.", fault))
    return Report(checks, found if not fault else None)


def verify_results(account: Mapping[str, Any], folder: Path) -> list[Check]:
    """Compare the files in a folder with the results of an account. Blocking. Raises OSError
    for a folder that cannot be read."""
    return _Comparison(account, folder).checks()


def summary(account: Mapping[str, Any]) -> list[str]:
    """What an account says, in a few lines. Raises KeyError, TypeError for what is none."""
    end = account["end"]
    code = "" if end["exitCode"] is None else f", exit code {end['exitCode']}"
    lines = [
        f"Job {account['job']} of {account['owner']} in {account['environment']}:"
        f" {end['status']} {end['text']} ({end['reason']}{code})."
    ]
    for stage in account["stages"]:
        image, ran = stage["image"], "ran" if stage["ran"] else "never ran"
        known = f" ({image['id']})" if image["id"] else ""
        inputs = stage["inputs"]
        count = "unknown" if inputs is None else str(len(inputs))
        lines.append(f"Stage {stage['name']} {ran}: image {image['reference']}{known},")
        lines[-1] += f" input files: {count}, network: {stage['network'] or 'unknown'}."
    if account["egress"]:
        lines.append(_verdict(account["egress"]))
    return lines


def _verdict(egress: Mapping[str, Any]) -> str:
    """What the rules said, and what the reviewers decided."""
    fired = ", ".join(egress["fired"]) or "no rule fired"
    outcome = _OUTCOMES.get(egress["outcome"], egress["outcome"])
    decided = (
        f"; {each['decision']} for {each['source']} by {each['by']}"
        for each in egress["sources"]
        if each["decision"]
    )
    return f"Rules on what may leave: {outcome} ({fired}){''.join(decided)}."


_OUTCOMES = {"pass": "passed", "hold": "held", "refuse": "refused"}


def _check(holds: bool, good: str, bad: str) -> Check:
    return Check(holds, good if holds else bad)


def _signer(signer: str, providers: Sequence[str]) -> Check:
    if not providers:
        text = f"Whether {signer} is the provider was not compared with anybody."
        return Check(None, text)
    wanted = {provider.lower() for provider in providers}
    return _check(
        signer.lower() in wanted,
        f"The signer {signer} is the provider that was named.",
        f"The signer {signer} is not the provider that was named, {', '.join(providers)}.",
    )


def _statement(payload: bytes) -> dict[str, Any] | None:
    try:
        found = bounded_json.loads(payload)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _fault_of(payload: bytes, found: dict[str, Any] | None) -> str:
    """Why this is no statement of a receipt, "" if it is one."""
    if found is None:
        return "The statement is no JSON object."
    if found.get("_type") != STATEMENT or found.get("predicateType") != PREDICATE:
        return f"The statement is of another kind than {STATEMENT} with {PREDICATE}."
    try:
        same = canonical(found) == payload
    except ValueError:
        same = False
    if not same:
        return "The statement is not written in its canonical form (RFC 8785)."
    try:
        _require_results(found["predicate"])
        summary(found["predicate"])
        same = found.keys() == _FIELDS and found["subject"] == subjects(found["predicate"])
    except (KeyError, TypeError, ValueError):
        return "The statement holds no account of a job."
    return "" if same else "The statement's subjects are not the results in its account."


_FIELDS = {"_type", "subject", "predicateType", "predicate"}


def _require_results(account: Mapping[str, Any]) -> None:
    """Raises KeyError, TypeError, ValueError where results are not listed as they should be."""
    for position, file in enumerate(account["results"]):
        texts = (file["filename"], file["sha256"])
        numbers = (file["index"], file["size"])
        if not all(type(text) is str for text in texts):
            raise TypeError("a result without a name")
        if not all(type(number) is int for number in numbers) or file["index"] != position:
            raise ValueError("results out of order")


@dataclass(slots=True)
class _Comparison:
    """Files of a folder against results; each file stands for one result at most."""

    account: Mapping[str, Any]
    folder: Path
    odd: set[Path] = field(default_factory=set)
    sizes: dict[Path, int] = field(default_factory=dict)
    by_size: dict[int, list[Path]] = field(default_factory=dict)
    digests: dict[Path, str] = field(default_factory=dict)

    def checks(self) -> list[Check]:
        for path, size in sorted(_entries(self.folder)):
            if size is None:
                self.odd.add(path)
            else:
                self.sizes[path] = size
                self.by_size.setdefault(size, []).append(path)
        places = _places(self.account["results"])
        own = {place for _, place in places}
        found: dict[int, Check] = {}
        moved = []
        for file, place in places:
            if place in self.sizes and self._equal(place, file):
                found[file["index"]] = Check(True, f"{_named(file)} is there and equal.")
                del self.sizes[place]
            else:
                moved.append((file, place))
        for file, place in moved:
            found[file["index"]] = self._elsewhere(file, place, own)
        told = [found[index] for index in sorted(found)]
        return [*told, *self._surplus(), *self._sealed()]

    def _elsewhere(self, file: Mapping[str, Any], place: Path, own: set[Path]) -> Check:
        """A result whose own file is not there, or is another one. Under the name of another
        result it would be taken for that."""
        for other in self.by_size.get(file["size"], ()):
            if other in self.sizes and self._equal(other, file):
                del self.sizes[other]
                if other in own:
                    text = f"lies under the name of another result, {other}: they were exchanged"
                    return Check(False, f"{_named(file)} {text}.")
                return Check(True, f"{_named(file)} is there and equal, under the name {other}.")
        if place in self.odd:
            self.odd.discard(place)
            return Check(False, f"{_named(file)} is missing: what has its name is no file.")
        size = self.sizes.pop(place, None)
        if size is None:
            return Check(False, f"{_named(file)} is missing.{self._remedy()}")
        if size < file["size"]:
            cut = f"has {size} of {file['size']} bytes: it is cut off or changed"
        elif size > file["size"]:
            cut = f"has {size} bytes instead of {file['size']}: it was changed or added to"
        else:
            cut = "has the right size and other bytes: it was changed"
        return Check(False, f"{_named(file)} {cut}.")

    def _remedy(self) -> str:
        if not self.account.get("encryptedTo"):
            return ""
        return " Bring it as it was encrypted: download without --decrypt, or with --keep-sealed."

    def _equal(self, path: Path, file: Mapping[str, Any]) -> bool:
        if self.sizes[path] != file["size"]:
            return False
        if path not in self.digests:
            self.digests[path] = _digest(self.folder / path)
        same: bool = self.digests[path] == file["sha256"]
        return same

    def _surplus(self) -> Iterator[Check]:
        opened = self._opened()
        left = sorted(path for path in {*self.sizes, *self.odd} if path not in opened)
        for path in left[:_TOLD]:
            yield Check(False, f"{path} is no result of the job: {self._why(path)}.")
        if len(left) > _TOLD:
            yield Check(False, f"{len(left) - _TOLD} more files are no results of the job.")

    def _why(self, path: Path) -> str:
        return "it is no file, but a link or the like" if path in self.odd else _NOT_KNOWN

    def _opened(self) -> set[Path]:
        """Files that by their names came out of encrypted results."""
        if not self.account.get("encryptedTo"):
            return set()
        sealed = {place for _, place in _places(self.account["results"])}
        return {path for path in self.sizes if path.with_name(path.name + SUFFIX) in sealed}

    def _sealed(self) -> Iterator[Check]:
        if self.account.get("encryptedTo"):
            text = (
                "Results were encrypted: the receipt knows the encrypted files. Files that were"
                " decrypted cannot be compared with it."
            )
            if opened := len(self._opened()):
                text += f" Here are {opened} that seem to be such."
            yield Check(None, text)


def _places(results: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Path]]:
    """Where a download of all results puts each."""
    taken: set[Path] = set()
    places = []
    for file in results:
        path = safe_path(file["filename"])
        while path in taken:
            path = path.with_name(f"{file['index']}-{path.name}")
        taken.add(path)
        places.append((file, path))
    return places


def _entries(folder: Path) -> Iterator[tuple[Path, int | None]]:
    """All files below, with their sizes, and all else but folders, without one: links are not
    followed. Raises OSError for what cannot be looked into."""
    if not folder.is_dir():
        raise NotADirectoryError(20, os.strerror(20))
    for here, folders, names in os.walk(folder, onerror=_raised):
        for name in (*names, *folders):
            path = Path(here) / name
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                yield path.relative_to(folder), status.st_size
            elif not stat.S_ISDIR(status.st_mode):
                yield path.relative_to(folder), None


def _raised(error: OSError) -> None:
    raise error


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def _named(file: Mapping[str, Any]) -> str:
    return f"Result {file['index']} ({file['filename']})"
