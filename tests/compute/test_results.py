"""Publishing what hostile code left behind, on a real file system."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from compute.errors import PublishingFailed
from compute.models import ResultFile
from compute.results import Collected, Source, gather, path_of, put

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices and mounts")


def publish(
    sources: Sequence[Source],
    target: Path,
    *,
    may_go_on: Callable[[], bool] = lambda: True,
    **bounds: int,
) -> Collected:
    collected = gather(sources, target, may_go_on=may_go_on, **bounds)
    put(target, may_go_on=may_go_on)
    return collected


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    folder.mkdir()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "results" / "j1"


def collect(
    outputs: Path, target: Path, *, max_bytes: int = 1 << 20, max_files: int = 100
) -> Collected:
    source = Source(outputs, "output")
    return publish([source], target, max_bytes=max_bytes, max_files=max_files)


def names(collected: Collected) -> list[str]:
    return [file.filename for file in collected.files]


def test_a_file_is_copied_counted_and_hashed(outputs: Path, target: Path) -> None:
    (outputs / "model.bin").write_bytes(b"weights")
    collected = collect(outputs, target)
    digest = hashlib.sha256(b"weights").hexdigest()
    assert collected == Collected((ResultFile(0, "model.bin", 7, digest, "output"),), False)
    assert path_of(target, collected.files[0]).read_bytes() == b"weights"


def test_nothing_published_is_an_empty_folder(outputs: Path, target: Path) -> None:
    assert collect(outputs, target) == Collected((), False)
    assert list(target.iterdir()) == []


def test_a_folder_that_is_not_there_has_no_files(outputs: Path, target: Path) -> None:
    assert collect(outputs / "nowhere", target) == Collected((), False)


def test_an_empty_file_is_a_result(outputs: Path, target: Path) -> None:
    (outputs / "done").touch()
    (file,) = collect(outputs, target).files
    assert (file.filesize, file.sha256) == (0, hashlib.sha256().hexdigest())


def test_nested_folders_are_kept_in_the_name_and_nowhere_else(outputs: Path, target: Path) -> None:
    for name in ("b/c/deep.txt", "b/a.txt", "a.txt", "b.txt"):
        (outputs / name).parent.mkdir(parents=True, exist_ok=True)
        (outputs / name).write_text(name)
    collected = collect(outputs, target)
    assert names(collected) == ["a.txt", "b.txt", "b/a.txt", "b/c/deep.txt"]
    assert sorted(p.name for p in target.iterdir()) == ["0", "1", "2", "3"]
    assert [path_of(target, f).read_text() for f in collected.files] == names(collected)


def test_the_order_is_the_same_on_every_try(outputs: Path, target: Path) -> None:
    for number in range(40):
        (outputs / f"{number * 7919 % 40:02}").write_text(str(number))
    first = collect(outputs, target)
    assert collect(outputs, target) == first
    assert names(first) == sorted(names(first))


def test_names_that_read_alike_keep_their_order(outputs: Path, target: Path) -> None:
    for byte in (0xFE, 0x80, 0xFF, 0x81):
        Path(os.fsdecode(os.fsencode(outputs) + b"/" + bytes([byte]))).write_bytes(bytes([byte]))
    collected = collect(outputs, target)
    assert names(collected) == ["\ufffd"] * 4
    contents = [path_of(target, file).read_bytes() for file in collected.files]
    assert contents == [b"\x80", b"\x81", b"\xfe", b"\xff"]


def test_the_algorithms_log_follows_the_outputs(outputs: Path, tmp_path: Path) -> None:
    log, target = tmp_path / "log", tmp_path / "results"
    log.mkdir()
    (log / "algorithm.log").write_text("x" * 50)
    (outputs / "a").write_text("1")
    sources = [Source(outputs, "output"), Source(log, "algorithmLog", budgeted=False)]
    collected = publish(sources, target, max_bytes=1, max_files=1)
    assert [(f.index, f.filename, f.type) for f in collected.files] == [
        (0, "a", "output"),
        (1, "algorithm.log", "algorithmLog"),
    ]
    assert not collected.over_quota


# what is no file


def test_links_are_never_followed(outputs: Path, target: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("hidden")
    (outputs / "passwd").symlink_to("/etc/passwd")
    (outputs / "folder").symlink_to(secret)
    (outputs / "relative").symlink_to("../secret/key")
    (outputs / "dangling").symlink_to("nowhere")
    (outputs / "loop").symlink_to("loop")
    (outputs / "self").symlink_to(".")
    (outputs / "real").write_text("mine")
    assert names(collect(outputs, target)) == ["real"]


def test_a_source_that_is_a_link_itself_yields_nothing(outputs: Path, target: Path) -> None:
    outputs.rmdir()
    outputs.symlink_to("/etc")
    assert names(collect(outputs, target)) == []


def test_pipes_and_sockets_are_passed_over(outputs: Path, target: Path) -> None:
    os.mkfifo(outputs / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(outputs, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        (outputs / "real").write_text("mine")
        assert names(collect(outputs, target)) == ["real"]


@needs_root
def test_devices_are_passed_over(outputs: Path, target: Path) -> None:
    os.mknod(outputs / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    os.mknod(outputs / "disk", 0o666 | stat.S_IFBLK, os.makedev(7, 0))
    (outputs / "real").write_text("mine")
    assert names(collect(outputs, target)) == ["real"]


# what is too much


def test_a_sparse_giant_counts_with_its_apparent_size(outputs: Path, target: Path) -> None:
    with (outputs / "giant").open("wb") as giant:
        giant.truncate(1 << 40)
    (outputs / "small").write_text("mine")
    collected = collect(outputs, target)
    assert names(collected) == ["small"]
    assert collected.over_quota


def test_hard_links_count_each(outputs: Path, target: Path) -> None:
    (outputs / "00").write_bytes(b"x" * 1000)
    for number in range(1, 10):
        os.link(outputs / "00", outputs / f"{number:02}")
    collected = collect(outputs, target, max_bytes=3500)
    assert names(collected) == ["00", "01", "02"]
    assert collected.over_quota


def test_the_last_byte_and_the_last_file_still_fit(outputs: Path, target: Path) -> None:
    (outputs / "a").write_bytes(b"12345")
    (outputs / "b").write_bytes(b"12345")
    assert not collect(outputs, target, max_bytes=10, max_files=2).over_quota
    assert collect(outputs, target, max_bytes=9, max_files=2).over_quota
    assert collect(outputs, target, max_bytes=10, max_files=1).over_quota


def test_never_more_files_than_allowed(outputs: Path, target: Path) -> None:
    for number in range(1000):
        (outputs / f"{number:04}").touch()
    collected = collect(outputs, target, max_files=100)
    assert names(collected) == [f"{number:04}" for number in range(100)]
    assert collected.over_quota
    assert len(list(target.iterdir())) == 100


# names and folders that are hostile


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"a\nb", "a\ufffdb"),
        (b"a\x1b[31mb", "a\ufffd[31mb"),
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "caf\ufffd"),
        ("a\u202eb".encode(), "a\ufffdb"),
        (b"with space", "with space"),
        (b"..", None),
        (b"...", "..."),
        (b'"; x="', '"; x="'),
        (b"back\\slash", "back\\slash"),
    ],
)
def test_a_name_is_shown_as_text(
    outputs: Path, target: Path, raw: bytes, shown: str | None
) -> None:
    if shown is not None:
        (outputs / os.fsdecode(raw)).write_text("x")
    collected = collect(outputs, target)
    assert names(collected) == ([] if shown is None else [shown])


def make_deep(folder: Path, name: str, depth: int) -> None:
    """Folders in each other, made as an algorithm can: by going in step by step."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("bottom", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)


@pytest.mark.parametrize(("name", "depth"), [("d", 1100), ("n" * 250, 30), ("n" * 250, 100)])
def test_deep_nests_end_nothing(outputs: Path, target: Path, name: str, depth: int) -> None:
    make_deep(outputs, name, depth)
    (outputs / "real").write_text("mine")
    assert "real" in names(collect(outputs, target))
    subprocess.run(["rm", "-rf", outputs], check=True)


def test_a_file_too_deep_to_be_taken_is_not_lost_in_silence(outputs: Path, target: Path) -> None:
    make_deep(outputs, "d", 200)
    collected = collect(outputs, target)
    assert names(collected) == ["d/" * 200 + "bottom"] or collected.over_quota


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything."""
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@needs_root
def test_what_cannot_be_read_is_passed_over() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o777)
        outputs = root / "outputs"
        (outputs / "locked").mkdir(parents=True)
        for file in ("locked/in", "secret", "open"):
            (outputs / file).write_text("x")
        (outputs / "locked").chmod(0o000)
        (outputs / "secret").chmod(0o000)
        with as_nobody():
            collected = collect(outputs, root / "results")
    assert names(collected) == ["open"]
    assert collected.files[0].index == 0


# failures of ours


def test_what_an_interrupted_try_left_is_replaced(outputs: Path, target: Path) -> None:
    for left in (target, target.with_name("j1.partial")):
        left.mkdir(parents=True)
        (left / "0").write_text("old")
        (left / "77").write_text("old")
    (outputs / "a").write_text("new")
    collected = collect(outputs, target)
    assert path_of(target, collected.files[0]).read_text() == "new"
    assert [p.name for p in target.iterdir()] == ["0"]
    assert [p.name for p in target.parent.iterdir()] == ["j1"]


@contextmanager
def tiny_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tiny", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@needs_root
def test_a_full_disk_is_told_and_nothing_stays_on_it(outputs: Path, tmp_path: Path) -> None:
    (outputs / "a").write_bytes(b"x" * 20_000)
    (outputs / "b").write_bytes(b"x" * 200_000)
    disk = tmp_path / "results"
    with tiny_disk(disk):
        with pytest.raises(PublishingFailed, match="No space left on device"):
            collect(outputs, disk / "j1")
        assert list(disk.iterdir()) == []


@needs_root
def test_a_full_disk_does_not_cost_results_published_before(outputs: Path, tmp_path: Path) -> None:
    disk = tmp_path / "results"
    with tiny_disk(disk):
        (outputs / "a").write_bytes(b"x" * 20_000)
        before = collect(outputs, disk / "j1")
        (outputs / "a").write_bytes(b"x" * 200_000)
        with pytest.raises(PublishingFailed):
            collect(outputs, disk / "j1")
        assert path_of(disk / "j1", before.files[0]).stat().st_size == 20_000


def test_an_error_names_no_path(outputs: Path, tmp_path: Path) -> None:
    (outputs / "a").write_text("x")
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(PublishingFailed) as caught:
        collect(outputs, tmp_path / "results" / "j1")
    assert str(tmp_path) not in caught.value.public


# names without end


def test_a_name_that_is_too_long_is_left_out(outputs: Path, target: Path) -> None:
    deep = outputs.joinpath(*["x" * 250] * 5)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    (outputs / "short").touch()
    collected = collect(outputs, target)
    assert names(collected) == ["short"]
    assert collected.over_quota


def test_all_names_of_a_job_are_bounded_together_and_its_log_is_kept(
    outputs: Path, tmp_path: Path
) -> None:
    deep = outputs.joinpath(*["x" * 200] * 4)
    deep.mkdir(parents=True)
    for number in range(1200):
        (deep / f"{number:0200}").touch()
    log = tmp_path / "log"
    log.mkdir()
    (log / "algorithm.log").touch()
    sources = [Source(outputs, "output"), Source(log, "algorithmLog", budgeted=False)]
    collected = publish(sources, tmp_path / "results", max_bytes=1, max_files=10_000)
    assert collected.over_quota
    assert sum(map(len, names(collected)[:-1])) <= 1 << 20
    assert len(names(collected)) > 1000
    assert names(collected)[-1] == "algorithm.log"
