"""The folder of documents: look-ups, changes while running, and problems told."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from asset_documents import ALGORITHM, DATASET, algorithm, dataset, service, url_file, write

from provider.assets.catalogue import MAX_DOCUMENT_BYTES, FolderCatalogue
from provider.errors import AssetsUnavailable, UnknownAsset


def catalogue(folder: Path) -> FolderCatalogue:
    return FolderCatalogue(folder, fresh_for_s=0)


async def test_a_did_is_found_whatever_its_file_is_called(tmp_path: Path) -> None:
    write(tmp_path, "measurements.json", dataset())
    write(tmp_path, "2.json", algorithm())
    assets = catalogue(tmp_path)
    assert (await assets.resolve(DATASET)).type == "dataset"
    assert (await assets.resolve(ALGORITHM)).type == "algorithm"
    assert assets.check() == []


@pytest.mark.parametrize(
    "did", ["did:op:" + "0" * 64, "did:op:../x", "", "x" * 100_000, "did:op:a\nb", DATASET.upper()]
)
async def test_an_unknown_or_malformed_did_is_told_shortly(tmp_path: Path, did: str) -> None:
    write(tmp_path, "a.json", dataset())
    with pytest.raises(UnknownAsset) as caught:
        await catalogue(tmp_path).resolve(did)
    assert caught.value.status == 400
    assert caught.value.public.startswith("Cannot resolve DID")
    assert len(caught.value.public) < 200
    assert "\n" not in caught.value.public


async def test_new_changed_and_removed_files_count_at_once(tmp_path: Path) -> None:
    assets = catalogue(tmp_path)
    with pytest.raises(UnknownAsset):
        await assets.resolve(DATASET)
    path = write(tmp_path, "a.json", dataset())
    assert len((await assets.resolve(DATASET)).services) == 1
    write(tmp_path, "a.json", dataset(services=[]))
    assert (await assets.resolve(DATASET)).services == []
    path.unlink()
    with pytest.raises(UnknownAsset):
        await assets.resolve(DATASET)


async def test_a_replaced_file_of_equal_size_and_time_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", dataset())
    os.utime(path, ns=(1_000, 1_000))
    assets = catalogue(tmp_path)
    await assets.resolve(DATASET)
    other = write(tmp_path, "b.tmp", dataset(id="did:op:" + "c3" * 32))
    os.utime(other, ns=(1_000, 1_000))
    other.replace(path)
    with pytest.raises(UnknownAsset):
        await assets.resolve(DATASET)


async def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", dataset())
    os.utime(path, ns=(1_000, 1_000))
    assets = catalogue(tmp_path)
    assert await assets.resolve(DATASET) is await assets.resolve(DATASET)


async def test_the_folder_is_looked_at_again_when_the_look_is_old(tmp_path: Path) -> None:
    now = [100.0]
    assets = FolderCatalogue(tmp_path, fresh_for_s=5, clock=lambda: now[0])
    assert assets.check() == []
    write(tmp_path, "a.json", dataset())
    now[0] = 104.9
    with pytest.raises(UnknownAsset):
        await assets.resolve(DATASET)
    now[0] = 105.0
    assert (await assets.resolve(DATASET)).id == DATASET


async def test_a_did_claimed_twice_is_served_by_neither(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a.json", dataset())
    second = write(tmp_path, "b.json", dataset(services=[]))
    assets = catalogue(tmp_path)
    with caplog.at_level(logging.WARNING), pytest.raises(UnknownAsset):
        await assets.resolve(DATASET)
    (problem,) = assets.check()
    assert "a.json" in problem
    assert "b.json" in problem
    assert DATASET in problem
    assert len(caplog.records) == 1
    second.unlink()
    assert (await assets.resolve(DATASET)).id == DATASET
    assert assets.check() == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "id"),
        (json.dumps(dataset(version="5.0.0")).encode(), "version"),
        (json.dumps(dataset(services=[service(files=[{"type": "ftp"}])])).encode(), "ftp"),
        (json.dumps(dataset(services=[service(files="plain")])).encode(), "missing required keys"),
        (b" " * (MAX_DOCUMENT_BYTES + 1), "is not a file of at most"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "broken.json").write_bytes(content)
    (problem,) = catalogue(tmp_path).check()
    assert "broken.json" in problem
    assert fault in problem


async def test_a_file_that_breaks_is_refused_and_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a.json", dataset())
    write(tmp_path, "b.json", algorithm())
    assets = catalogue(tmp_path)
    await assets.resolve(DATASET)
    (tmp_path / "a.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(UnknownAsset):
                await assets.resolve(DATASET)
            await assets.resolve(ALGORITHM)
    assert len(caplog.records) == 1


def test_problems_show_no_file_url(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = [url_file("https://secret.example.com/x", method="PUT")]
    write(tmp_path, "a.json", dataset(services=[service(files=files)]))
    (problem,) = catalogue(tmp_path).check()
    assert "secret" not in problem + caplog.text


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    (problem,) = catalogue(tmp_path / "nowhere").check()
    assert "nowhere" in problem


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("notes.txt", ".draft.json", "a.json.bak"):
        (tmp_path / name).write_text("{")
    assert catalogue(tmp_path).check() == []


def test_a_folder_or_dead_link_called_json_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "nowhere")
    assert len(catalogue(tmp_path).check()) == 2


async def test_many_look_ups_at_once_agree(tmp_path: Path) -> None:
    write(tmp_path, "a.json", dataset())
    assets = catalogue(tmp_path)
    found = await asyncio.gather(*(assets.resolve(DATASET) for _ in range(20)))
    assert {ddo.id for ddo in found} == {DATASET}


@pytest.fixture
def no_descriptors() -> Iterator[None]:
    """A process that can open no further file."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_without_descriptors_an_asset_is_not_gone(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write(tmp_path, "a.json", dataset())
    assets = catalogue(tmp_path)
    await assets.resolve(DATASET)
    request.getfixturevalue("no_descriptors")
    with pytest.raises(AssetsUnavailable):
        await assets.resolve(DATASET)
    (problem,) = assets.check()
    assert "Too many open files" in problem


async def test_a_folder_that_comes_back_is_served_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "assets"
    folder.mkdir()
    write(folder, "a.json", dataset())
    assets = catalogue(folder)
    await assets.resolve(DATASET)
    folder.rename(tmp_path / "away")
    for _ in range(3):
        with pytest.raises(AssetsUnavailable) as caught:
            await assets.resolve(DATASET)
        assert caught.value.status == 503
    assert len(caplog.records) == 1
    (tmp_path / "away").rename(folder)
    await assets.resolve(DATASET)
