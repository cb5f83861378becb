"""A job's folder as its container will find it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from compute_samples import DID, OTHER_DID, Clock, a_job, a_spec
from small_inputs import MemoryFile, MemorySupplier, digest

from compute.cache import InputCache
from compute.engines.base import Mount
from compute.errors import InputUnavailable
from compute.layout import JobFolders
from compute.models import AlgorithmItem, DatasetItem, Image
from compute.staging import Stager, local_mounts
from compute.supply import InputFile

SHORT, OTHER = DID.removeprefix("did:op:"), OTHER_DID.removeprefix("did:op:")


@pytest.fixture
def folders(tmp_path: Path) -> JobFolders:
    folders = JobFolders(tmp_path, "j1")
    folders.root.mkdir(parents=True)
    return folders


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> InputCache:
    cache = InputCache(tmp_path / "cache", 1 << 30, clock)
    cache.open()
    return cache


def stager(
    cache: InputCache, algorithm: Sequence[InputFile] = (), **datasets: Sequence[InputFile]
) -> Stager:
    """A stager of the datasets ``a`` (DID) and ``b`` (OTHER_DID)."""
    by_did = {{"a": DID, "b": OTHER_DID}[key]: files for key, files in datasets.items()}
    return Stager(MemorySupplier(by_did, algorithm), cache)


def items(*dids: str) -> tuple[DatasetItem, ...]:
    return tuple(DatasetItem(did=did, service_id=f"s{n}") for n, did in enumerate(dids))


def tree(folder: Path) -> dict[str, str]:
    """What is below a folder: contents of files, targets of links."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_text()
    return found


async def test_inputs_lie_by_did_and_number_with_flat_names_beside(
    cache: InputCache, folders: JobFolders
) -> None:
    job = a_job(spec=a_spec(datasets=items(DID, OTHER_DID)))
    a = [MemoryFile("one.csv", b"1"), MemoryFile("two.csv", b"2")]
    await stager(cache, a=a, b=[MemoryFile("three.csv", b"3")]).datasets(job, folders)
    assert tree(folders.inputs) == {
        f"{SHORT}/0": "1",
        f"{SHORT}/1": "2",
        f"{OTHER}/0": "3",
        "algoCustomData.json": "{}",
        "one.csv": f"-> {SHORT}/0",
        "two.csv": f"-> {SHORT}/1",
        "three.csv": f"-> {OTHER}/0",
    }
    assert (folders.inputs / "three.csv").read_text() == "3"
    assert local_mounts(folders) == []


async def test_a_did_used_twice_goes_on_counting(cache: InputCache, folders: JobFolders) -> None:
    job = a_job(spec=a_spec(datasets=items(DID, OTHER_DID, DID)))
    files = {"a": [MemoryFile("x.csv", b"a")], "b": [MemoryFile("x.csv", b"b", identity="b")]}
    await stager(cache, **files).datasets(job, folders)
    found = tree(folders.inputs)
    assert {f"{SHORT}/0", f"{SHORT}/1", f"{OTHER}/0"} <= set(found)
    assert found["x.csv"] == f"-> {SHORT}/0"


@pytest.mark.parametrize(
    "name",
    ["algoCustomData.json", SHORT, ".", "..", "", "x" * 300, "a/b", "../out", "a\0b", "\udcff"],
)
async def test_a_name_that_is_taken_or_impossible_costs_only_the_flat_link(
    cache: InputCache, folders: JobFolders, name: str
) -> None:
    files = [MemoryFile(name, b"1", identity="i"), MemoryFile("fine", b"2")]
    await stager(cache, a=files).datasets(a_job(), folders)
    assert (folders.inputs / SHORT / "0").read_text() == "1"
    assert json.loads((folders.inputs / "algoCustomData.json").read_text()) == {}
    assert (folders.inputs / "fine").read_text() == "2"
    assert not os.path.lexists(folders.root / "out")


@pytest.mark.parametrize("custom", [None, {}, {"depth": 3}, [1, "ü"], "text", 0])
async def test_custom_data_is_json(cache: InputCache, folders: JobFolders, custom: object) -> None:
    algorithm = AlgorithmItem(image=Image(image="p"), entrypoint="x", custom_data=custom)
    await stager(cache, a=[]).datasets(a_job(spec=a_spec(algorithm=algorithm)), folders)
    stored = json.loads((folders.inputs / "algoCustomData.json").read_text())
    assert stored == ({} if custom is None else custom)


async def test_documents_lie_by_short_did(cache: InputCache, folders: JobFolders) -> None:
    document = {"id": DID, "name": "β"}
    job = a_job(spec=a_spec(documents={DID: document}))
    await stager(cache, a=[]).datasets(job, folders)
    assert [path.name for path in folders.ddos.iterdir()] == [SHORT]
    assert json.loads((folders.ddos / SHORT).read_text()) == document


async def test_a_fetched_file_is_the_caches_own_and_outlives_it(
    cache: InputCache, folders: JobFolders, tmp_path: Path
) -> None:
    await stager(cache, a=[MemoryFile("x", b"data")]).datasets(a_job(), folders)
    cached = tmp_path / "cache" / "contents" / digest(b"data")
    assert cached.samefile(folders.inputs / SHORT / "0")
    cached.unlink()
    assert (folders.inputs / SHORT / "0").read_text() == "data"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
async def test_a_cache_on_another_disk_is_copied_from(
    cache: InputCache, folders: JobFolders, tmp_path: Path
) -> None:
    contents = tmp_path / "cache" / "contents"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "other", contents], check=True)
    try:
        file = MemoryFile("x", b"data", sha256=digest(b"data"))
        (contents / digest(b"data")).write_bytes(b"data")
        await stager(cache, a=[file]).datasets(a_job(), folders)
    finally:
        subprocess.run(["umount", contents], check=True)
    copy = folders.inputs / SHORT / "0"
    assert copy.read_text() == "data"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o444


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("rows")
    path.chmod(0o644)
    return path


async def test_a_local_file_is_shown_in_place(
    cache: InputCache, folders: JobFolders, on_disk: Path
) -> None:
    file = MemoryFile("table.csv", b"rows", path=on_disk)
    await stager(cache, a=[file]).datasets(a_job(), folders)
    assert local_mounts(folders) == [Mount(on_disk, f"/data/inputs/{SHORT}/0", read_only=True)]
    assert (folders.inputs / SHORT / "0").stat().st_size == 0
    assert (folders.inputs / "table.csv").readlink() == Path(SHORT) / "0"
    assert file.opened == 0


@pytest.mark.parametrize("reason", ["unreadable", "promised"])
async def test_a_local_file_is_copied_where_it_cannot_be_shown(
    cache: InputCache, folders: JobFolders, on_disk: Path, reason: str
) -> None:
    file = MemoryFile("table.csv", b"rows", path=on_disk)
    if reason == "unreadable":
        on_disk.chmod(0o640)
    else:
        file.sha256 = digest(b"rows")
    await stager(cache, a=[file]).datasets(a_job(), folders)
    assert local_mounts(folders) == []
    assert (folders.inputs / SHORT / "0").read_text() == "rows"


async def test_a_local_file_that_is_gone_is_an_input_that_is_not_to_be_had(
    cache: InputCache, folders: JobFolders, on_disk: Path
) -> None:
    file = MemoryFile("table.csv", b"", path=on_disk)
    file.failures = [InputUnavailable("gone")]
    on_disk.unlink()
    with pytest.raises(InputUnavailable, match="gone"):
        await stager(cache, a=[file]).datasets(a_job(), folders)


async def test_the_algorithm_is_a_copy_that_can_be_executed(
    cache: InputCache, folders: JobFolders
) -> None:
    files = [MemoryFile("main.py", b"code"), MemoryFile("lib.py", b"more")]
    await stager(cache, files).algorithm(a_job(), folders)
    assert tree(folders.transformations) == {"algorithm": "code", "1": "more"}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folders.transformations.iterdir()}
    assert modes == {0o555}
    (folders.transformations / "algorithm").chmod(0o700)
    assert stat.S_IMODE((await cache.fetch(files[0])).stat().st_mode) == 0o444


async def test_an_algorithm_without_files_is_an_empty_folder(
    cache: InputCache, folders: JobFolders
) -> None:
    await stager(cache).algorithm(a_job(), folders)
    assert tree(folders.transformations) == {}


async def test_staging_again_gives_the_same(cache: InputCache, folders: JobFolders) -> None:
    files = [MemoryFile("x", b"1", validator="1")]
    staging = stager(cache, files, a=files)
    for _ in range(2):
        await staging.datasets(a_job(), folders)
        await staging.algorithm(a_job(), folders)
    assert set(tree(folders.inputs)) == {f"{SHORT}/0", "algoCustomData.json", "x"}
    assert files[0].sent == 3, "once as a dataset, each time as a raw algorithm"


async def test_what_a_broken_try_left_does_not_stay(cache: InputCache, folders: JobFolders) -> None:
    for folder in (folders.inputs, folders.ddos, folders.transformations):
        (folder / "left" / "over").mkdir(parents=True)
    staging = stager(cache, [MemoryFile("x", b"1")], a=[])
    await staging.datasets(a_job(), folders)
    await staging.algorithm(a_job(), folders)
    assert set(tree(folders.inputs)) == {"algoCustomData.json"}
    assert set(tree(folders.transformations)) == {"algorithm"}


async def test_staging_can_be_cancelled_half_way_and_repeated(
    cache: InputCache, folders: JobFolders, tmp_path: Path
) -> None:
    files = [MemoryFile("x", b"1"), MemoryFile("y", b"2")]
    files[1].gate = asyncio.Event()
    staging = stager(cache, a=files)
    attempt = asyncio.create_task(staging.datasets(a_job(), folders))
    await files[1].held.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert list((tmp_path / "cache" / "partial").iterdir()) == []
    files[1].gate.set()
    await staging.datasets(a_job(), folders)
    assert (folders.inputs / SHORT / "1").read_text() == "2"


async def test_an_unknown_dataset_is_an_input_that_is_not_to_be_had(
    cache: InputCache, folders: JobFolders
) -> None:
    with pytest.raises(InputUnavailable, match="No such dataset"):
        await stager(cache).datasets(a_job(), folders)


@pytest.fixture
def a_strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("a_strict_umask")
async def test_nobody_can_read_all_inputs_whatever_the_umask(
    cache: InputCache, folders: JobFolders
) -> None:
    job = a_job(spec=a_spec(documents={DID: {}}))
    staging = stager(cache, [MemoryFile("p", b"1")], a=[MemoryFile("x", b"2")])
    await staging.datasets(job, folders)
    await staging.algorithm(job, folders)
    for shown in (folders.inputs, folders.ddos, folders.transformations):
        for path in (shown, *shown.rglob("*")):
            wanted = 0o555 if path.is_dir() else 0o444
            assert path.stat().st_mode & wanted == wanted, path
