"""Files of this machine as the inputs of a job: what the provider's supplier is to a real one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compute.models import AlgorithmItem, DatasetItem, JobSpec
from compute.supply import InputFile, InputSupplier
from provider.assets.ddo import is_did
from provider.assets.files import MAX_FILES
from provider.assets.origins.base import file_name
from provider.assets.origins.local import LocalOrigin
from provider.assets.origins.text import TextOrigin
from provider.assets.supplier import RAW_NAME
from provider.client.errors import ClientUsageError, plain

DEFAULT_SERVICE = "compute"
_NAMED = re.compile(r"(did:[^=#]+)(?:#([^=]+))?=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Given:
    """One dataset: under which name, and its files. ``known`` when the person named it."""

    did: str
    service_id: str
    files: tuple[Path, ...] = field(repr=False)
    known: bool = False


def local_did(number: int) -> str:
    """The DID of the dataset at this place (from 1) that was given none: ``did:op:`` and 64
    hexadecimal digits, the number after zeros. No asset has it, since DIDs are hashes."""
    return f"did:op:{number:064x}"


def is_local(did: str) -> bool:
    """True for a DID of :func:`local_did`."""
    return re.fullmatch(r"did:op:0{60}\d{4}", did) is not None


def given(text: str, number: int) -> Given:
    """What ``--input`` says: ``PATH``, ``DID=PATH`` or ``DID#SERVICE=PATH``. Raises
    ClientUsageError."""
    match = _NAMED.fullmatch(text)
    if match is None:
        return Given(local_did(number), DEFAULT_SERVICE, tuple(files_of(text)))
    did, service_id, path = match.groups()
    require_did(did, "--input")
    return Given(did, service_id or DEFAULT_SERVICE, tuple(files_of(path)), known=True)


def require_did(did: str, option: str) -> None:
    """Raises ClientUsageError."""
    if not is_did(did):
        raise ClientUsageError(f"{option}: {plain(did, 120)} is not a DID (did:op:…).")


def files_of(text: str) -> list[Path]:
    """The file, or all files below the folder in the order of their paths; none that begins
    with a dot, and no link. Raises ClientUsageError."""
    path = Path(text).expanduser()
    if path.is_file():
        return [path.resolve()]
    if not path.is_dir():
        raise ClientUsageError(f"--input: there is no file or folder {plain(text, 300)}.")
    root = path.resolve()
    found = sorted(
        each
        for each in root.rglob("*")
        if each.is_file()
        and not each.is_symlink()
        and not any(part.startswith(".") for part in each.relative_to(root).parts)
    )
    if not found:
        raise ClientUsageError(f"--input: there is no file in the folder {plain(text, 300)}.")
    if len(found) > MAX_FILES:
        raise ClientUsageError(
            f"--input: the folder {plain(text, 300)} has {len(found)} files; a service has at"
            f" most {MAX_FILES}."
        )
    return found


class LocalInputs(InputSupplier):
    """The files of datasets by DID and service, and the algorithm's code, if it has any."""

    def __init__(self, datasets: Sequence[Given], code: Path | None = None) -> None:
        self._datasets: Mapping[tuple[str, str], Given] = {
            (each.did, each.service_id): each for each in datasets
        }
        self._code = code

    async def permit(self, owner: str, spec: JobSpec) -> None:
        """Everything is the person's own."""

    async def dataset(self, item: DatasetItem) -> Sequence[InputFile]:
        found = self._datasets[item.did, item.service_id]
        return [_file(path) for path in found.files]

    async def algorithm(self, item: AlgorithmItem) -> Sequence[InputFile]:
        if "rawcode" in item.source:
            text = str(item.source["rawcode"])
            return [TextOrigin(RAW_NAME, text, hashlib.sha256(text.encode()).hexdigest())]
        return [_file(self._code)] if self._code else []

    async def secret(self, sealed: str) -> bytes:
        """No job of a dry run has any."""
        raise AssertionError("a dry run has no secrets")


def _file(path: Path) -> InputFile:
    identity = hashlib.sha256(str(path).encode()).hexdigest()
    return LocalOrigin(file_name(path.name), path, identity)
