"""What compute asks of the floor above: the bytes of an input.

Compute knows an input only as a reference it was given at the start. The supplier
turns a reference into files at staging time, so that no file URL is ever stored
with a job. Implemented by :mod:`provider.assets.supplier`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from compute.models import AlgorithmItem, DatasetItem, JobSpec


@dataclass(frozen=True, slots=True)
class Download:
    """One answer of an input's origin.

    ``unchanged`` means that what was fetched under the validator is still current;
    there are no chunks then. ``validator`` is an opaque text to hand in next time
    (for HTTP an ETag or Last-Modified), None when the origin offers none. ``size`` is
    the announced length in bytes, None when unknown.
    """

    unchanged: bool
    validator: str | None
    size: int | None
    chunks: AsyncIterator[bytes]


class InputFile(ABC):
    """One file of a dataset or an algorithm.

    ``identity`` is the same for the same origin and parameters, and reveals neither
    (a digest). ``name`` is the file's own name, a single path component. ``sha256``
    is the digest the content must have, None when nothing is promised. ``path`` is set
    for a file that already lies on this machine and is then used where it lies.
    """

    name: str
    identity: str
    sha256: str | None = None
    path: Path | None = None

    @abstractmethod
    def open(self, validator: str | None) -> AbstractAsyncContextManager[Download]:
        """Open the origin for reading.

        Raises InputUnavailable, on entering or while reading: temporary for time-outs,
        broken connections and 5xx answers; final for everything else. May be called
        again after any failure.
        """


class InputSupplier(ABC):
    """Turns the references of a job into files. Each verb may be repeated."""

    @abstractmethod
    async def permit(self, owner: str, spec: JobSpec) -> None:
        """Return if the job may still run, however long ago it was queued.

        Raises InputUnavailable.
        """

    @abstractmethod
    async def dataset(self, item: DatasetItem) -> Sequence[InputFile]:
        """The files of one dataset, in the order of its file list. Raises InputUnavailable."""

    @abstractmethod
    async def algorithm(self, item: AlgorithmItem) -> Sequence[InputFile]:
        """The files of the algorithm; the first is the one ``$ALGO`` stands for.

        Empty when the algorithm lives in its image alone. Raises InputUnavailable.
        """

    @abstractmethod
    async def secret(self, sealed: str) -> bytes:
        """The clear text of one of a stage's secrets. Raises InputUnavailable."""
