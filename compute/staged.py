"""What was put in place for a stage: digests and sizes, never a name or an address.

Written into the job's folder while the stage is staged, anew on each try. Read when outputs
are compared with inputs, and for the account of what ran.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from compute.digests import Digest
from compute.layout import JobFolders


@dataclass(frozen=True, slots=True)
class StagedInput:
    """One file of a dataset. ``index`` is its number below ``/data/inputs/<did>``. ``in_place``
    for one that the container was shown where it lies, ``changed`` for such a one that was
    another or gone when the stage was over."""

    did: str
    service_id: str
    index: int
    sha256: str
    size: int
    in_place: bool = False
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Staged:
    """All that a stage was given. ``algorithm`` are the files of the algorithm, ``given``
    those that came with the start, both in order; ``custom_data`` is the file of the
    algorithm's parameters."""

    inputs: tuple[StagedInput, ...] = ()
    given: tuple[Digest, ...] = ()
    custom_data: Digest | None = None
    algorithm: tuple[Digest, ...] = ()

    def stored(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """What :meth:`stored` made. Raises KeyError, TypeError."""
        custom_data = stored["custom_data"]
        return cls(
            inputs=tuple(StagedInput(**each) for each in stored["inputs"]),
            given=tuple(Digest(**each) for each in stored["given"]),
            custom_data=None if custom_data is None else Digest(**custom_data),
            algorithm=tuple(Digest(**each) for each in stored["algorithm"]),
        )


def write(path: Path, staged: Staged) -> None:
    """Raises OSError."""
    write_json(path, staged.stored())


def read(path: Path) -> Staged | None:
    """What :func:`write` wrote, None where nothing can be read."""
    try:
        return Staged.read(read_json(path) or {})
    except (KeyError, TypeError):
        return None


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Raises OSError."""
    path.write_text(json.dumps(values), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any] | None:
    """What :func:`write_json` wrote, None where nothing can be read: a machine that lost its
    power may have lost the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def add_algorithm(path: Path, files: Sequence[Digest]) -> None:
    """Write down the algorithm's files beside the inputs. Raises OSError."""
    write(path, replace(read(path) or Staged(), algorithm=tuple(files)))


def of_stages(folders: JobFolders, stages: int) -> list[Staged | None]:
    """What each of the first ``stages`` stages of a job was given, None where that is not
    known. Blocking."""
    return [read(folders.staged_of(stage)) for stage in range(stages)]


def has_changed(folders: JobFolders, stages: int) -> bool:
    """Whether a file of a dataset is known to have been another one after one of the first
    ``stages`` stages than before it. Blocking."""
    known = filter(None, of_stages(folders, stages))
    return any(each.changed for stage in known for each in stage.inputs)


def input_digests(folders: JobFolders, stages: int) -> frozenset[str] | None:
    """SHA-256 of all files of datasets that the first ``stages`` stages of a job were given;
    None when that is not known of one of them. Blocking."""
    found: set[str] = set()
    for staged in of_stages(folders, stages):
        if staged is None:
            return None
        found.update(each.sha256 for each in staged.inputs)
    return frozenset(found)
