"""The bounded space of a job, on real loop devices where the machine has them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from compute.errors import VolumeFailed
from compute.space import LoopSpace, Space, WatchedSpace, best_space, image_bytes

OWNER = (65534, 65534)
MIB = 1 << 20


def _loops_work() -> bool:
    return os.geteuid() == 0 and Path("/dev/loop-control").exists()


needs_loops = pytest.mark.skipif(not _loops_work(), reason="needs root and loop devices")


@pytest.fixture
async def job_dir(tmp_path: Path) -> AsyncIterator[Path]:
    # The backing file is looked up by its real path.
    folder = tmp_path / "a job's folder"
    folder.mkdir()
    yield folder
    await LoopSpace().release(folder)


@pytest.fixture
async def other_job_dir(tmp_path: Path) -> AsyncIterator[Path]:
    folder = tmp_path / "other"
    folder.mkdir()
    yield folder
    await LoopSpace().release(folder)


@pytest.fixture(params=[pytest.param("loop", marks=needs_loops), "watched"])
def space(request: pytest.FixtureRequest) -> Space:
    return LoopSpace() if request.param == "loop" else WatchedSpace()


def outputs(job_dir: Path) -> Path:
    return job_dir / "space" / "outputs"


def fill(path: Path, size: int, step: int = 65536) -> int:
    """Write until it is enough or refused; how much was written."""
    written = 0
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while written < size:
            written += file.write(b"x" * min(step, size - written))
        os.fsync(file.fileno())
    return path.stat().st_size


def mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].replace("\\040", " ") for line in lines]
    return [point for point in points if point.startswith(str(folder))]


def loops_of(folder: Path) -> list[str]:
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            found.append(backing.read_text().strip())
    return [path for path in found if path.startswith(str(folder))]


async def test_outputs_and_logs_belong_to_the_owner(space: Space, job_dir: Path) -> None:
    owner = OWNER if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=owner)
    for name in ("outputs", "logs"):
        status = (job_dir / "space" / name).stat()
        assert (status.st_uid, status.st_gid) == owner
        assert status.st_mode & 0o777 == 0o755
        assert list((job_dir / "space" / name).iterdir()) == []


async def test_an_empty_space_is_not_full(space: Space, job_dir: Path) -> None:
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    usage = await space.usage(job_dir)
    assert not usage.full
    assert usage.files_used == 0
    assert usage.bytes_used < 64 * 1024


async def test_preparing_again_keeps_what_was_written(space: Space, job_dir: Path) -> None:
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    (outputs(job_dir) / "result").write_text("kept")
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    assert (outputs(job_dir) / "result").read_text() == "kept"
    assert len(mounts_below(job_dir)) <= 1


async def test_as_much_as_was_promised_fits(space: Space, job_dir: Path) -> None:
    await space.prepare(job_dir, size_bytes=4 * MIB, files=10, owner=OWNER)
    assert fill(outputs(job_dir) / "result", 4 * MIB - 4096) == 4 * MIB - 4096
    usage = await space.usage(job_dir)
    assert not usage.full
    assert usage.bytes_used >= 4 * MIB - 4096


async def test_as_many_files_as_were_promised_fit(space: Space, job_dir: Path) -> None:
    await space.prepare(job_dir, size_bytes=4 * MIB, files=100, owner=OWNER)
    for number in range(99):
        (outputs(job_dir) / f"{number}").touch()
    usage = await space.usage(job_dir)
    assert (usage.files_used, usage.full) == (99, False)


@pytest.mark.parametrize("step", [1000, 4096, 65536, 1_000_000, 8 * MIB])
async def test_too_many_bytes_make_it_full(space: Space, job_dir: Path, step: int) -> None:
    await space.prepare(job_dir, size_bytes=4 * MIB, files=10, owner=OWNER)
    written = fill(outputs(job_dir) / "result", 12 * MIB, step)
    assert (await space.usage(job_dir)).full
    if space.enforced:
        assert 4 * MIB <= written < 7 * MIB


async def test_too_many_files_make_it_full(space: Space, job_dir: Path) -> None:
    await space.prepare(job_dir, size_bytes=4 * MIB, files=100, owner=OWNER)
    with suppress(OSError):
        for number in range(1000):
            (outputs(job_dir) / f"{number}").touch()
    assert (await space.usage(job_dir)).full
    if space.enforced:
        assert len(list(outputs(job_dir).iterdir())) < 150


async def test_a_full_space_has_room_again_once_emptied(space: Space, job_dir: Path) -> None:
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    fill(outputs(job_dir) / "result", 9 * MIB)
    (outputs(job_dir) / "result").unlink()
    assert not (await space.usage(job_dir)).full


async def test_links_are_neither_followed_nor_counted_as_their_target(
    space: Space, job_dir: Path
) -> None:
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    (outputs(job_dir) / "root").symlink_to("/")
    (outputs(job_dir) / "loop").symlink_to(outputs(job_dir))
    os.mkfifo(outputs(job_dir) / "pipe")
    usage = await space.usage(job_dir)
    assert (usage.files_used, usage.full) == (3, False)
    await space.release(job_dir)
    assert Path("/usr").exists()


async def test_a_hole_takes_no_place(space: Space, job_dir: Path) -> None:
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    with (outputs(job_dir) / "hole").open("wb") as file:
        file.truncate(1 << 33)
    assert not (await space.usage(job_dir)).full


async def test_folders_nested_without_end_are_removed(space: Space, job_dir: Path) -> None:
    await space.prepare(job_dir, size_bytes=16 * MIB, files=5000, owner=OWNER)
    here = os.open(outputs(job_dir), os.O_RDONLY)
    for _ in range(2100):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    await space.usage(job_dir)
    await space.release(job_dir)
    assert list(job_dir.iterdir()) == []


async def test_nothing_is_left_after_release(space: Space, job_dir: Path) -> None:
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    (outputs(job_dir) / "folder").mkdir()
    fill(outputs(job_dir) / "folder" / "result", 1000)
    for _ in range(2):
        await space.release(job_dir)
        assert list(job_dir.iterdir()) == []
    assert mounts_below(job_dir) == []
    assert loops_of(job_dir) == []


async def test_releasing_what_never_was_does_nothing(space: Space, job_dir: Path) -> None:
    await space.release(job_dir)
    await space.release(job_dir / "nowhere")


async def test_usage_without_a_space_fails(space: Space, job_dir: Path) -> None:
    with pytest.raises(VolumeFailed):
        await space.usage(job_dir)


async def test_a_job_folder_that_cannot_be_made_is_told_without_its_path(
    space: Space, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VolumeFailed) as failure:
        await space.prepare(tmp_path / "file" / "job", size_bytes=MIB, files=10, owner=OWNER)
    assert str(tmp_path) not in failure.value.public


async def test_one_job_does_not_see_another(
    space: Space, job_dir: Path, other_job_dir: Path
) -> None:
    jobs = [job_dir, other_job_dir]
    await asyncio.gather(
        *(space.prepare(job, size_bytes=MIB, files=10, owner=OWNER) for job in jobs)
    )
    fill(outputs(jobs[0]) / "result", 9 * MIB)
    assert (await space.usage(jobs[0])).full
    assert not (await space.usage(jobs[1])).full


@needs_loops
@pytest.mark.parametrize("size_bytes", [MIB, 10 * MIB, 1 << 30, 50 << 30])
@pytest.mark.parametrize("files", [1, 1000, 100_000])
async def test_the_image_holds_what_was_promised(
    job_dir: Path, size_bytes: int, files: int
) -> None:
    await LoopSpace().prepare(job_dir, size_bytes=size_bytes, files=files, owner=OWNER)
    found = os.statvfs(job_dir / "space")
    assert found.f_bavail * found.f_frsize >= size_bytes
    assert found.f_favail >= files
    assert (job_dir / "space.img").stat().st_blocks * 512 < 4 * MIB


def test_the_image_grows_with_what_it_must_hold() -> None:
    assert image_bytes(10 * MIB, 10) > 10 * MIB
    assert image_bytes(10 * MIB, 10_000) > image_bytes(10 * MIB, 10) + 10_000 * 256
    assert image_bytes(1 << 40, 10) < (1 << 40) * 1.05


@needs_loops
async def test_after_a_reboot_the_same_image_is_mounted_again(job_dir: Path) -> None:
    space = LoopSpace()
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    (outputs(job_dir) / "result").write_text("kept")
    subprocess.run(["umount", str(job_dir / "space")], check=True)
    with pytest.raises(VolumeFailed, match="not mounted"):
        await space.usage(job_dir)
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    assert (outputs(job_dir) / "result").read_text() == "kept"


@needs_loops
async def test_after_a_reboot_the_image_can_be_released_unmounted(job_dir: Path) -> None:
    space = LoopSpace()
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    subprocess.run(["umount", str(job_dir / "space")], check=True)
    await space.release(job_dir)
    assert list(job_dir.iterdir()) == []


@needs_loops
async def test_a_half_made_image_is_made_anew(job_dir: Path) -> None:
    (job_dir / "space.img.new").write_bytes(b"half")
    await LoopSpace().prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    assert fill(outputs(job_dir) / "result", 1000) == 1000
    assert not (job_dir / "space.img.new").exists()


@needs_loops
async def test_a_half_made_image_is_released(job_dir: Path) -> None:
    (job_dir / "space.img.new").write_bytes(b"half")
    (job_dir / "space").mkdir()
    await LoopSpace().release(job_dir)
    assert list(job_dir.iterdir()) == []


@needs_loops
async def test_a_mount_without_its_folders_is_finished(job_dir: Path) -> None:
    space = LoopSpace()
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    outputs(job_dir).rmdir()
    (job_dir / "space" / "logs").rmdir()
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    assert outputs(job_dir).stat().st_uid == OWNER[0]


@needs_loops
async def test_preparing_may_be_cancelled_anywhere_and_repeated(job_dir: Path) -> None:
    space = LoopSpace()
    for moment in range(20):
        task = asyncio.create_task(space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER))
        for _ in range(moment):
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait({task})
        await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
        assert len(mounts_below(job_dir)) == 1
        await space.release(job_dir)
        assert list(job_dir.iterdir()) == []
    assert loops_of(job_dir) == []


@needs_loops
async def test_a_space_in_use_is_released_all_the_same(job_dir: Path) -> None:
    space = LoopSpace()
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    with (outputs(job_dir) / "open").open("w"):
        await space.release(job_dir)
        assert list(job_dir.iterdir()) == []
    assert mounts_below(job_dir) == []
    assert loops_of(job_dir) == []


@needs_loops
async def test_what_is_mounted_cannot_hold_devices_or_give_rights(job_dir: Path) -> None:
    await LoopSpace().prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    flags = os.statvfs(job_dir / "space").f_flag
    assert flags & os.ST_NODEV
    assert flags & os.ST_NOSUID
    assert flags & os.ST_NOATIME


@needs_loops
async def test_an_image_that_is_no_file_system_fails(job_dir: Path) -> None:
    (job_dir / "space.img").write_bytes(b"x" * MIB)
    with pytest.raises(VolumeFailed) as failure:
        await LoopSpace().prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    assert str(job_dir) not in failure.value.public


async def test_watching_stops_early(job_dir: Path) -> None:
    space = WatchedSpace()
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    for number in range(500):
        (outputs(job_dir) / f"{number}").touch()
    usage = await space.usage(job_dir)
    assert (usage.files_used, usage.full) == (11, True)


async def test_watching_calls_endless_folders_full(job_dir: Path) -> None:
    space = WatchedSpace()
    await space.prepare(job_dir, size_bytes=1 << 30, files=10**6, owner=OWNER)
    here = os.open(outputs(job_dir), os.O_RDONLY)
    for _ in range(2100):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    assert (await space.usage(job_dir)).full
    await space.release(job_dir)


async def test_watching_counts_the_logs_folder_too(job_dir: Path) -> None:
    space = WatchedSpace()
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    fill(job_dir / "space" / "logs" / "log", 2 * MIB)
    assert (await space.usage(job_dir)).full


async def test_damaged_limits_are_a_failure_not_a_crash(job_dir: Path) -> None:
    space = WatchedSpace()
    await space.prepare(job_dir, size_bytes=MIB, files=10, owner=OWNER)
    (job_dir / "space.json").write_text('["x"]')
    with pytest.raises(VolumeFailed, match="not prepared"):
        await space.usage(job_dir)


async def test_watching_can_be_chosen(tmp_path: Path) -> None:
    assert isinstance(await best_space(tmp_path, "watch"), WatchedSpace)


@needs_loops
async def test_loops_are_the_best_and_probing_leaves_nothing(tmp_path: Path) -> None:
    assert isinstance(await best_space(tmp_path, "loop"), LoopSpace)
    assert list(tmp_path.iterdir()) == []
    assert mounts_below(tmp_path) == []


async def test_insisting_on_loops_where_there_are_none_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VolumeFailed):
        await best_space(tmp_path / "file", "loop")


async def test_auto_falls_back_to_watching(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert isinstance(await best_space(tmp_path / "file", "auto"), WatchedSpace)


async def test_who_is_not_root_takes_away_folders_that_the_algorithm_has_closed() -> None:
    uid = os.geteuid() or OWNER[0]
    with tempfile.TemporaryDirectory() as name:
        space, job_dir = WatchedSpace(), Path(name) / "job"
        Path(name).chmod(0o755)
        job_dir.mkdir()
        if os.geteuid() == 0:
            os.chown(job_dir, uid, uid)
        with _as_user(uid):
            await space.prepare(job_dir, size_bytes=MIB, files=9, owner=(uid, uid))
            closed = outputs(job_dir) / "deep" / "closed"
            closed.mkdir(parents=True)
            (closed / "file").write_bytes(b"x")
            for folder in (closed, closed.parent):
                folder.chmod(0)
            await space.release(job_dir)
        assert list(job_dir.iterdir()) == []


@contextmanager
def _as_user(uid: int) -> Iterator[None]:
    """Root's rights are laid down; tools that are started do not have them either."""
    before = os.geteuid()
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before)
