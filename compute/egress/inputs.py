"""What a job's outputs are compared with: the SHA-256 of all that its datasets gave it.

And of what lies in inputs that are archives themselves, as far as that can be looked into
within the bounds: who is given ``data.csv.gz`` must not hand out ``data.csv``. Blocking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from compute import staged
from compute.egress.bounds import Budget, Doubt
from compute.egress.inspection import Wants, parts_of
from compute.layout import JobFolders
from compute.models import Job
from compute.staging import local_mounts

LEAST_MEMBER = 64
"""Bytes. What is smaller is equal to something by chance."""


def digests_of(
    job: Job,
    folders: JobFolders,
    most_inflated: int,
    may_go_on: Callable[[], None] = lambda: None,
) -> frozenset[str] | None:
    """SHA-256 of the inputs that came from datasets. ``most_inflated`` bounds the bytes that
    all archives among them hold; ``may_go_on`` raises where the looking is to end. None where
    one that was used in place has changed meanwhile: nobody knows what was read of it. Raises
    OSError."""
    if staged.has_changed(folders, job.stage + 1):
        return None
    paths = list(_files(job, folders))
    known = staged.input_digests(folders, job.stage + 1)
    if known is None:
        known = frozenset(map(_sha256, paths))
    return known | frozenset(_members(paths, Budget(most_inflated, may_go_on=may_go_on)))


def _files(job: Job, folders: JobFolders) -> Iterator[Path]:
    """The files of the present stage's datasets, where they lie on this machine."""
    shown = {mount.target: mount.source for mount in local_mounts(folders)}
    for item in job.present.datasets:
        folder = folders.inputs / item.short_did
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            inside = f"/data/inputs/{item.short_did}/{path.name}"
            yield shown.get(inside, path)


def _members(paths: Iterable[Path], budget: Budget) -> Iterator[str]:
    for path in filter(Path.is_file, paths):
        try:
            for part in parts_of(path, Wants(digests=True), budget):
                if part.size >= LEAST_MEMBER and part.sha256:
                    yield part.sha256
        except Doubt:
            continue


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
