"""What was put in place for a stage is written down as digests, and files are read once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from compute import digests, staged
from compute.cache import InputCache
from compute.digests import Digest, FileDigests
from compute.egress.inputs import digests_of
from compute.errors import InputUnavailable
from compute.layout import JobFolders
from compute.models import AlgorithmItem, DatasetItem, Image, Job, JobSpec, Stage
from compute.staged import Staged, StagedInput
from compute.staging import Stager
from compute.supply import Download, InputFile, InputSupplier

DID = "did:op:" + "a1" * 32


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class LocalFile(InputFile):
    """A file that lies on this machine; it is never opened through its origin."""

    def __init__(self, path: Path) -> None:
        self.name, self.path, self.identity = path.name, path, sha(os.fsencode(path))

    def open(self, validator: str | None) -> AbstractAsyncContextManager[Download]:
        raise AssertionError("a file of this machine is used where it lies")


class LocalFiles(InputSupplier):
    def __init__(self, *files: Path) -> None:
        self.files: list[InputFile] = [LocalFile(path) for path in files]

    async def permit(self, owner: str, spec: JobSpec) -> None: ...

    async def dataset(self, item: DatasetItem) -> Sequence[InputFile]:
        return self.files

    async def algorithm(self, item: AlgorithmItem) -> Sequence[InputFile]:
        return self.files if item.did else ()

    async def secret(self, sealed: str) -> bytes:
        raise AssertionError("no stage has a secret")


def old_file(path: Path, data: bytes) -> Path:
    """A file that was written long before the test."""
    path.write_bytes(data)
    path.chmod(0o444)
    return path


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileDigests:
    """Digests to which each file here is old: a change's time cannot be set back."""
    monkeypatch.setattr(digests, "SETTLED_S", -1.0)
    found = FileDigests(tmp_path / "digests")
    found.open()
    return found


async def test_files_used_in_place_are_written_down_without_their_names(tmp_path: Path) -> None:
    file = old_file(tmp_path / "confidential-name.csv", b"a,b\n")
    cache = InputCache(tmp_path / "cache", 1 << 30)
    cache.open()
    stage = Stage(
        algorithm=AlgorithmItem(image=Image(image="x"), entrypoint="", custom_data={"k": 1}),
        datasets=(DatasetItem(did=DID, service_id="s1"), DatasetItem(did=DID, service_id="s2")),
        files=("task/one.txt",),
        max_duration_s=1,
    )
    job = Job(id="j1", owner="o", environment="e", spec=JobSpec(stages=(stage,)), created_at=0.0)
    folders = JobFolders(tmp_path, "j1")
    (folders.given / "task").mkdir(parents=True)
    (folders.given / "task" / "one.txt").write_bytes(b"given")
    stager = Stager(LocalFiles(file), cache)
    for _ in range(2):  # a second try writes the same anew
        await stager.datasets(job, folders)
        await stager.algorithm(job, folders)
    assert staged.read(folders.staged) == Staged(
        inputs=(
            StagedInput(DID, "s1", 0, sha(b"a,b\n"), 4, in_place=True),
            StagedInput(DID, "s2", 1, sha(b"a,b\n"), 4, in_place=True),
        ),
        given=(Digest(sha(b"given"), 5),),
        custom_data=Digest(sha(b'{"k": 1}'), 8),
        algorithm=(),
    )
    assert (folders.inputs / "algoCustomData.json").read_bytes() == b'{"k": 1}'
    assert "confidential" not in folders.staged.read_text()
    assert staged.input_digests(folders, 1) == {sha(b"a,b\n")}
    assert staged.input_digests(folders, 2) is None
    found = await stager.staged(folders)
    assert digests_of(job, folders, 1 << 20) == {sha(b"a,b\n")}
    assert found is not None
    assert [each.changed for each in found.inputs] == [False, False]
    file.chmod(0o644)
    file.write_bytes(b"b,a\n")
    found = await stager.staged(folders)
    assert found is not None
    assert [(each.sha256, each.changed) for each in found.inputs] == [(sha(b"a,b\n"), True)] * 2
    assert staged.read(folders.staged) == found
    assert staged.has_changed(folders, 1)
    assert digests_of(job, folders, 1 << 20) is None
    file.write_bytes(b"a,b\n")
    assert await stager.staged(folders) == found, "it was another one in between"
    file.unlink()
    assert await stager.staged(folders) == found


class FetchedFile(InputFile):
    """A file from elsewhere."""

    def __init__(self, data: bytes) -> None:
        self.name, self.identity, self._data = "fetched.csv", sha(data), data

    @asynccontextmanager
    async def open(self, validator: str | None) -> AsyncIterator[Download]:
        async def chunks() -> AsyncIterator[bytes]:
            yield self._data

        yield Download(False, None, len(self._data), chunks())


async def test_fetched_files_are_known_by_the_cache(tmp_path: Path) -> None:
    cache = InputCache(tmp_path / "cache", 1 << 30)
    cache.open()
    supplier = LocalFiles()
    supplier.files = [FetchedFile(b"far"), FetchedFile(b"away")]
    item = AlgorithmItem(did=DID, image=Image(image="x"), entrypoint="")
    stage = Stage(
        algorithm=item, datasets=(DatasetItem(did=DID, service_id="s"),), max_duration_s=1
    )
    job = Job(id="j1", owner="o", environment="e", spec=JobSpec(stages=(stage,)), created_at=0.0)
    folders = JobFolders(tmp_path, "j1")
    folders.root.mkdir(parents=True)
    stager = Stager(supplier, cache)
    await stager.datasets(job, folders)
    await stager.algorithm(job, folders)
    found = await stager.staged(folders)
    assert found is not None
    assert found.inputs == (
        StagedInput(DID, "s", 0, sha(b"far"), 3),
        StagedInput(DID, "s", 1, sha(b"away"), 4),
    )
    assert found.algorithm == (Digest(sha(b"far"), 3), Digest(sha(b"away"), 4))


async def test_a_file_that_is_as_it_was_is_not_read_again(
    tmp_path: Path, kept: FileDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = old_file(tmp_path / "large.bin", b"x" * 1000)
    assert await kept.of(file) == Digest(sha(b"x" * 1000), 1000)
    reads: list[int] = []
    real = digests.read

    def counted(descriptor: int, *rest: object) -> Digest:
        reads.append(descriptor)
        return real(descriptor)

    monkeypatch.setattr(digests, "read", counted)
    again = FileDigests(tmp_path / "digests")
    assert await again.of(file) == Digest(sha(b"x" * 1000), 1000)
    assert reads == []
    file.chmod(0o644)
    file.write_bytes(b"y" * 1000)
    assert await again.of(file) == Digest(sha(b"y" * 1000), 1000)
    assert len(reads) == 1
    names = [entry.name for entry in (tmp_path / "digests").iterdir()]
    assert names == [sha(os.fsencode(file))]


async def test_what_was_just_written_is_read_again(tmp_path: Path) -> None:
    kept = FileDigests(tmp_path / "digests")
    kept.open()
    assert (await kept.of(old_file(tmp_path / "new", b"1"))).size == 1
    assert list((tmp_path / "digests").iterdir()) == []


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"signs": 1}', '{"signs": [], "sha256": ""}'])
async def test_damaged_memory_costs_only_time(
    tmp_path: Path, kept: FileDigests, damage: str
) -> None:
    file = old_file(tmp_path / "file", b"1")
    (tmp_path / "digests" / sha(os.fsencode(file))).write_text(damage)
    assert await kept.of(file) == Digest(sha(b"1"), 1)
    assert staged.read(tmp_path / "digests" / sha(b"nothing")) is None


async def test_a_file_that_changes_while_it_is_read_has_no_digest(
    tmp_path: Path, kept: FileDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = old_file(tmp_path / "log", b"1")
    file.chmod(0o644)
    real = digests.read

    def while_it_grows(descriptor: int, *rest: object) -> Digest:
        found = real(descriptor)
        with file.open("ab") as out:
            out.write(b"more")
        return found

    monkeypatch.setattr(digests, "read", while_it_grows)
    with pytest.raises(InputUnavailable, match="is being changed") as refused:
        await kept.of(file)
    assert refused.value.temporary
    with pytest.raises(InputUnavailable, match="cannot be read: No such file") as gone:
        await kept.of(tmp_path / "none")
    assert "none" not in gone.value.public
