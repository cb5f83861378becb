"""The cache of inputs: fetched once, checked, evicted, never half there."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path

import pytest
from compute_samples import Clock
from small_inputs import MemoryFile, digest

from compute.cache import ALGORITHM_BYTES, FRESH_S, InputCache, pour
from compute.errors import InputUnavailable, VolumeFailed

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(folder: Path, clock: Clock) -> InputCache:
    return opened(folder, clock)


def opened(folder: Path, clock: Clock, max_bytes: int = 100 * MIB) -> InputCache:
    cache = InputCache(folder, max_bytes, clock)
    cache.open()
    return cache


def contents(folder: Path) -> set[str]:
    return {path.name for path in (folder / "contents").iterdir()}


def partials(folder: Path) -> list[Path]:
    return list((folder / "partial").iterdir())


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, 3 * MIB + 7])
async def test_what_is_fetched_is_there_whole_and_read_only(
    cache: InputCache, folder: Path, size: int
) -> None:
    content = os.urandom(size)
    path = await cache.fetch(MemoryFile("a", content))
    assert path.read_bytes() == content
    assert path == folder / "contents" / digest(content)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert partials(folder) == []


async def test_a_validator_that_still_holds_saves_the_bytes(cache: InputCache) -> None:
    file = MemoryFile("a", b"table", validator='"v1"')
    first = await cache.fetch(file)
    assert await cache.fetch(file) == first
    assert file.opened_with == [None, '"v1"']
    assert file.sent == 1


async def test_a_changed_origin_is_fetched_anew(cache: InputCache) -> None:
    file = MemoryFile("a", b"old", validator="1")
    await cache.fetch(file)
    file.content, file.validator = b"new", "2"
    assert (await cache.fetch(file)).read_bytes() == b"new"
    assert file.opened_with == [None, "1"]


async def test_an_origin_without_validators_is_left_in_peace_for_a_while(
    cache: InputCache, clock: Clock
) -> None:
    file = MemoryFile("a", b"old")
    await cache.fetch(file)
    file.content = b"new"
    clock.advance(FRESH_S - 1)
    assert (await cache.fetch(file)).read_bytes() == b"old"
    clock.advance(1)
    assert (await cache.fetch(file)).read_bytes() == b"new"
    assert file.opened_with == [None, None]


async def test_what_was_learnt_outlives_the_process(folder: Path, clock: Clock) -> None:
    file = MemoryFile("a", b"table", validator="1")
    await opened(folder, clock).fetch(file)
    await opened(folder, clock).fetch(file)
    assert file.opened_with == [None, "1"]
    assert file.sent == 1


async def test_the_same_bytes_from_two_origins_are_kept_once(
    cache: InputCache, folder: Path
) -> None:
    paths = {await cache.fetch(MemoryFile(name, b"same")) for name in "ab"}
    assert len(paths) == 1
    assert contents(folder) == {digest(b"same")}


async def test_many_at_once_fetch_one_origin_once(cache: InputCache) -> None:
    file = MemoryFile("a", b"table")
    file.gate = asyncio.Event()
    fetches = [asyncio.create_task(cache.fetch(file)) for _ in range(20)]
    await file.held.wait()
    file.gate.set()
    assert len(set(await asyncio.gather(*fetches))) == 1
    assert file.opened == 1


async def test_two_origins_are_fetched_at_the_same_time(cache: InputCache) -> None:
    files = [MemoryFile(name, name.encode()) for name in "ab"]
    for file in files:
        file.gate = asyncio.Event()
    fetches = [asyncio.create_task(cache.fetch(file)) for file in files]
    async with asyncio.timeout(60):
        for file in files:
            await file.held.wait()
    for file in files:
        assert file.gate
        file.gate.set()
    await asyncio.gather(*fetches)


async def test_a_failed_fetch_leaves_nothing_and_the_next_one_works(
    cache: InputCache, folder: Path
) -> None:
    file = MemoryFile("a", b"x" * (2 * MIB))
    file.failures, file.after = [InputUnavailable("broken", temporary=True)], MIB
    with pytest.raises(InputUnavailable, match="broken"):
        await cache.fetch(file)
    assert partials(folder) == []
    assert contents(folder) == set()
    assert (await cache.fetch(file)).stat().st_size == 2 * MIB


async def test_one_who_waits_tries_himself_when_the_first_failed(cache: InputCache) -> None:
    file = MemoryFile("a", b"table")
    file.failures = [InputUnavailable("broken", temporary=True)]
    first, second = await asyncio.gather(
        cache.fetch(file), cache.fetch(file), return_exceptions=True
    )
    assert isinstance(first, InputUnavailable)
    assert isinstance(second, Path)
    assert file.opened == 2


async def test_a_cancelled_fetch_leaves_nothing(cache: InputCache, folder: Path) -> None:
    file = MemoryFile("a", b"x" * (3 * MIB))
    file.gate = asyncio.Event()
    fetch = asyncio.create_task(cache.fetch(file))
    await file.held.wait()
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    assert partials(folder) == []
    assert contents(folder) == set()
    file.gate.set()
    assert (await cache.fetch(file)).stat().st_size == 3 * MIB


async def test_a_promised_checksum_that_is_met(cache: InputCache) -> None:
    file = MemoryFile("a", b"table", sha256=digest(b"table").upper())
    assert (await cache.fetch(file)).read_bytes() == b"table"


async def test_a_promised_checksum_spares_the_origin(cache: InputCache) -> None:
    await cache.fetch(MemoryFile("a", b"table"))
    file = MemoryFile("b", b"table", sha256=digest(b"table"))
    await cache.fetch(file)
    assert file.opened == 0


@pytest.mark.parametrize("validator", [None, "1"])
async def test_a_promised_checksum_that_is_not_met(
    cache: InputCache, validator: str | None
) -> None:
    file = MemoryFile("a", b"forged", sha256=digest(b"table"), validator=validator)
    for _ in range(2):
        with pytest.raises(InputUnavailable, match="not the one that was promised") as caught:
            await cache.fetch(file)
        assert not caught.value.temporary


@pytest.mark.parametrize("promise", ["../../../etc/passwd", "..", "/etc/passwd", ""])
async def test_a_promise_is_never_a_path(cache: InputCache, folder: Path, promise: str) -> None:
    (folder.parent / "etc").mkdir()
    try:
        path = await cache.fetch(MemoryFile("a", b"table", sha256=promise))
    except InputUnavailable:
        return
    assert path.parent == folder / "contents"
    assert path.read_bytes() == b"table"


async def test_the_least_recently_used_is_evicted(folder: Path, clock: Clock) -> None:
    cache = opened(folder, clock, max_bytes=3 * MIB)
    files = {name: MemoryFile(name, name.encode() * MIB, validator="1") for name in "abcd"}
    for age, name in enumerate("abc"):
        path = await cache.fetch(files[name])
        os.utime(path, (age, age))
    await cache.fetch(files["a"])
    await cache.fetch(files["d"])
    assert contents(folder) == {digest(files[name].content) for name in "acd"}
    await cache.fetch(files["b"])
    assert files["b"].opened_with == [None, None]


async def test_what_a_job_uses_stays_with_it_when_it_is_evicted(
    folder: Path, clock: Clock, tmp_path: Path
) -> None:
    cache = opened(folder, clock, max_bytes=MIB)
    os.link(await cache.fetch(MemoryFile("a", b"a" * MIB)), tmp_path / "mine")
    await cache.fetch(MemoryFile("b", b"b" * MIB))
    assert contents(folder) == {digest(b"b" * MIB)}
    assert (tmp_path / "mine").read_bytes() == b"a" * MIB


async def test_a_file_larger_than_the_budget_is_still_served(folder: Path, clock: Clock) -> None:
    cache = opened(folder, clock, max_bytes=10)
    for size_is_known in (True, False):
        file = MemoryFile(f"a{size_is_known}", b"x" * MIB, announces_size=size_is_known)
        assert (await cache.fetch(file)).stat().st_size == MIB


async def test_a_file_evicted_while_its_origin_is_asked_is_fetched_again(
    folder: Path, clock: Clock
) -> None:
    cache = opened(folder, clock, max_bytes=MIB)
    first = MemoryFile("a", b"a" * MIB, validator="1")
    await cache.fetch(first)
    asked = asyncio.create_task(cache.fetch(first))
    await asyncio.sleep(0)
    assert first.opened == 2
    (folder / "contents" / digest(first.content)).unlink()
    assert (await asked).read_bytes() == first.content


async def test_a_file_that_cannot_fit_on_the_disk_is_refused_before_it_comes(
    cache: InputCache,
) -> None:
    file = MemoryFile("a", b"x")
    free = os.statvfs("/").f_bavail * os.statvfs("/").f_frsize

    class Huge(bytes):
        def __len__(self) -> int:
            return free * 2

    file.content = Huge(b"x")
    with pytest.raises(VolumeFailed, match="no disk space"):
        await cache.fetch(file)
    assert file.sent == 0


async def test_a_crash_leaves_nothing_that_the_next_start_does_not_remove(
    folder: Path, clock: Clock
) -> None:
    cache = opened(folder, clock)
    kept = await cache.fetch(MemoryFile("a", b"kept"))
    (folder / "partial" / "half").write_bytes(b"ha")
    opened(folder, clock)
    assert partials(folder) == []
    assert kept.exists()


@pytest.mark.parametrize(
    "left", ["", "{", "[]", '{"sha256": 5, "validator": null, "at": 1}', '{"sha256": "x"}', "null"]
)
async def test_a_broken_note_of_an_origin_is_forgotten(
    folder: Path, clock: Clock, left: str
) -> None:
    file = MemoryFile("a", b"table", validator="1")
    await opened(folder, clock).fetch(file)
    (folder / "origins" / file.identity).write_text(left)
    assert (await opened(folder, clock).fetch(file)).read_bytes() == b"table"
    assert file.opened_with == [None, None]


async def test_what_is_noted_of_an_origin_is_its_digest_and_validator_only(
    cache: InputCache, folder: Path, clock: Clock
) -> None:
    file = MemoryFile("patients.csv", b"table", validator="1")
    await cache.fetch(file)
    (note,) = (folder / "origins").iterdir()
    assert note.name == file.identity
    assert json.loads(note.read_text()) == {
        "sha256": digest(b"table"),
        "validator": "1",
        "at": clock.now,
    }


async def test_a_consumers_own_algorithm_is_bounded(tmp_path: Path) -> None:
    large = MemoryFile("algorithm", b"x" * (ALGORITHM_BYTES + 1))
    with pytest.raises(InputUnavailable, match="larger than 64 MiB"):
        await pour(large, tmp_path / "algorithm")


async def test_origins_of_evicted_contents_are_forgotten_at_the_next_start(
    tmp_path: Path,
) -> None:
    cache = InputCache(tmp_path, 1 << 30)
    cache.open()
    kept, evicted = MemoryFile("a", b"kept"), MemoryFile("b", b"evicted")
    await cache.fetch(kept)
    (await cache.fetch(evicted)).unlink()
    InputCache(tmp_path, 1 << 30).open()
    assert [path.name for path in (tmp_path / "origins").iterdir()] == [kept.identity]
