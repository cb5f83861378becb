"""Putting the inputs of a job's stage where its container will look for them.

The job's folder is filled anew for each stage and on each try, so an interrupted one needs no
repair. What was handed in with the start lies in the job's folder from before it was queued.
Fetched files are hard links into the cache, or copies where it lies on another disk; a file
that already lies on this machine is shown in place by a read-only mount of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from compute import digests, layout, staged, tenure
from compute.cache import InputCache, pour
from compute.digests import Digest
from compute.engines.base import Mount
from compute.errors import InputUnavailable
from compute.layout import JobFolders
from compute.models import DID_PREFIX, Job
from compute.staged import Staged, StagedInput
from compute.supply import InputFile, InputSupplier


class Stager:
    """Fills job folders. Every verb may be repeated."""

    def __init__(self, supplier: InputSupplier, cache: InputCache) -> None:
        self._supplier = supplier
        self._cache = cache

    async def datasets(self, job: Job, folders: JobFolders) -> None:
        """Inputs, their flat names, custom data and DDOs. Raises InputUnavailable.

        Asks first whether the job may still run: what allowed it at its start may have been
        withdrawn while it waited.
        """
        await self._supplier.permit(job.owner, job.spec)
        stage = job.present
        tenure.require()
        for folder in (folders.inputs, folders.ddos):
            shutil.rmtree(folder, ignore_errors=True)
            _make_folder(folder)
        numbers: Counter[str] = Counter()
        names: list[tuple[str, str]] = []
        mounts: list[Mount] = []
        inputs: list[StagedInput] = []
        for item in stage.datasets:
            tenure.require()
            place = folders.inputs / item.short_did
            _make_folder(place)
            for file in await self._supplier.dataset(item):
                tenure.require()
                number = numbers[item.did]
                numbers[item.did] += 1
                names.append((file.name, f"{item.short_did}/{number}"))
                found, shown = await self._place(file, place / str(number))
                inputs.append(
                    StagedInput(
                        item.did, item.service_id, number, found.sha256, found.size, bool(shown)
                    )
                )
                mounts += [Mount(path, _target(item.did, number)) for path in shown]
        tenure.require()
        for earlier in range(job.stage):
            # A mount below a read-only one needs a place that is there.
            _make_folder(folders.inputs / layout.STAGES / str(earlier))
        for given in stage.files:
            tenure.require()
            await asyncio.to_thread(_link_given, folders, given)
        brought = [
            await asyncio.to_thread(digests.of_file, folders.given / name) for name in stage.files
        ]
        tenure.require()
        custom_data = _custom_data(folders.inputs, stage.algorithm.custom_data)
        _flat_names(folders.inputs, names)
        _documents(folders.ddos, job.spec.documents)
        _save_mounts(folders.local_files, mounts)
        staged.write(folders.staged, Staged(tuple(inputs), tuple(brought), custom_data))

    async def algorithm(self, job: Job, folders: JobFolders) -> None:
        """The algorithm's files, executable. Raises InputUnavailable.

        A raw algorithm is its consumer's own and leaves no copy in the cache.
        """
        tenure.require()
        shutil.rmtree(folders.transformations, ignore_errors=True)
        _make_folder(folders.transformations)
        algorithm = job.present.algorithm
        files: list[Digest] = []
        for number, file in enumerate(await self._supplier.algorithm(algorithm)):
            name = "algorithm" if number == 0 else str(number)
            target = folders.transformations / name
            if algorithm.did:
                source = await self._cache.fetch(file)
                tenure.require()
                await asyncio.to_thread(shutil.copyfile, source, target)
            else:
                await pour(file, target)
            tenure.require()
            target.chmod(0o555)
            files.append(await asyncio.to_thread(digests.of_file, target))
        tenure.require()
        staged.add_algorithm(folders.staged, files)

    async def staged(self, folders: JobFolders) -> Staged | None:
        """What a stage that is over was given, None where that cannot be read. Files that were
        used in place are looked at once more, and what changed is written down."""
        found = await asyncio.to_thread(staged.read, folders.staged)
        if found is None or not any(each.in_place for each in found.inputs):
            return found
        paths = {mount.target: mount.source for mount in local_mounts(folders)}
        looked = replace(
            found, inputs=tuple([await self._looked_at(each, paths) for each in found.inputs])
        )
        if looked != found:
            tenure.require()
            await asyncio.to_thread(staged.write, folders.staged, looked)
        return looked

    async def _looked_at(self, file: StagedInput, paths: Mapping[str, Path]) -> StagedInput:
        if not file.in_place or file.changed:
            return file
        try:
            now = await self._cache.digests.of(paths[_target(file.did, file.index)])
        except (InputUnavailable, KeyError):
            return replace(file, changed=True)
        return replace(file, changed=now.sha256 != file.sha256)

    async def secrets(self, job: Job) -> dict[str, bytes]:
        """The present stage's secrets by name, opened. Raises InputUnavailable."""
        sealed = job.present.secrets
        return {name: await self._supplier.secret(sealed[name]) for name in sealed}

    async def _place(self, file: InputFile, target: Path) -> tuple[Digest, list[Path]]:
        """Link the file to ``target``, or name the path that is to be shown there; what it
        holds."""
        if file.path is not None and file.sha256 is None and _readable_by_all(file.path):
            target.touch(mode=0o444)
            return await self._cache.digests.of(file.path), [file.path]
        source = await self._cache.fetch(file)
        tenure.require()
        target.unlink(missing_ok=True)
        await asyncio.to_thread(link_or_copy, source, target)
        return Digest(source.name, target.stat().st_size), []


def _target(did: str, number: int) -> str:
    """Where a container finds a file of a dataset."""
    return f"{layout.INPUTS}/{did.removeprefix(DID_PREFIX)}/{number}"


def link_or_copy(source: Path, target: Path) -> None:
    """The same file at ``target``; a copy where it lies on another disk. Blocking."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EMLINK, errno.EPERM}:
            raise
        shutil.copyfile(source, target)
        target.chmod(0o444)


def keep_given(folders: JobFolders, files: Mapping[str, Path]) -> None:
    """Have the files that come with a start in the job's folder, on disk. Blocking. Raises
    OSError.

    Only files of the data folder are linked: those are never changed, while one that lies
    elsewhere may be, and its mode is not ours to set.
    """
    data_dir = folders.root.parent.parent
    for name, source in files.items():
        target = folders.given / name
        _make_folder(target.parent)
        place = link_or_copy if source.is_relative_to(data_dir) else shutil.copyfile
        place(source, target)
        target.chmod(0o444)
    for folder in sorted({(folders.given / name).parent for name in files}):
        _flush(folder)
    if files:
        _flush(folders.given)
        _flush(folders.root)


def mark(path: Path) -> None:
    """Have an empty file, on disk. Blocking. Raises OSError."""
    path.touch()
    _flush(path)
    _flush(path.parent)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link_given(folders: JobFolders, name: str) -> None:
    target = folders.inputs / name
    _make_folder(target.parent)
    link_or_copy(folders.given / name, target)


def local_mounts(folders: JobFolders) -> list[Mount]:
    """The mounts that ``datasets`` noted down for files used in place."""
    stored: list[list[str]] = json.loads(folders.local_files.read_text(encoding="utf-8"))
    return [Mount(Path(source), target) for source, target in stored]


def _save_mounts(path: Path, mounts: Sequence[Mount]) -> None:
    path.write_text(json.dumps([[str(m.source), m.target] for m in mounts]), encoding="utf-8")


def _custom_data(inputs: Path, custom_data: Any) -> Digest:
    text = json.dumps({} if custom_data is None else custom_data)
    _write(inputs / layout.CUSTOM_DATA, text)
    return digests.of_bytes(text.encode())


def _flat_names(inputs: Path, names: Sequence[tuple[str, str]]) -> None:
    """A link by the file's own name where that name is free and can be one."""
    for name, place in names:
        if "/" not in name and not os.path.lexists(inputs / name):
            with contextlib.suppress(OSError, ValueError):
                (inputs / name).symlink_to(place)


def _documents(ddos: Path, documents: dict[str, dict[str, Any]]) -> None:
    for did, document in documents.items():
        _write(ddos / did.removeprefix("did:op:"), json.dumps(document))


def _make_folder(folder: Path) -> None:
    """A folder that the container's user can enter, whatever our umask."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o444)


def _readable_by_all(path: Path) -> bool:
    """A container's user is nobody's: only what all may read can be shown in place."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)
