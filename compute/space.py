"""The bounded space a job writes its outputs and logs to.

A container may fill what it can write to, in bytes and in numbers of files, so that
place is a file system of its own where the operator may mount one: a sparse ext4 file on
a loop device, whose limits the kernel enforces. Elsewhere it is a plain folder that has
to be watched, which notices excess but cannot prevent it.

Everything is found again from the job's folder alone, after any crash: the image gets its
final name only once it is formatted, a mounted space is recognised by the kernel's word,
and the folder under the mount point is closed to containers, so that outputs can never
land beside the bounded space.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from uuid import uuid4

from compute import tenure, tools
from compute.blanks import Blanks
from compute.errors import VolumeFailed

log = logging.getLogger(__name__)

SPACE = "space"
OUTPUTS = "outputs"
LOGS = "logs"
FOLDERS = (OUTPUTS, LOGS)
IMAGE = "space.img"
UNFINISHED_IMAGE = "space.img.new"
LIMITS = "space.json"

BLOCK = 4096
_CHECK_S = 600.0
_ALL_OF_IT = ("-rf", "--one-file-system", "--")
_GROUP_BLOCKS = 8 * BLOCK
_INODE_BYTES = 256
_OWN_INODES = 16
"""At least the root folder, lost+found, the two subfolders and those that ext4 reserves."""
_FRESH_INODES = 13
_FRESH_BLOCKS = 7
_REFUSED_AT_ONCE = 2 << 20
"""The kernel may refuse a write as a whole while up to this much is free."""
_CHECKED_IMAGE = frozenset({0, 1, 2})
_BUSY_TRIES = 5
_BUSY_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job has written. ``full`` is true once a limit is reached."""

    bytes_used: int
    files_used: int
    full: bool


class _TooDeep(Exception):
    """Folders are nested deeper than the longest path."""


class Space(ABC):
    """Makes, measures and removes the space of one job. All verbs may be repeated."""

    enforced: bool

    @abstractmethod
    async def prepare(
        self,
        job_dir: Path,
        *,
        size_bytes: int,
        files: int,
        owner: tuple[int, int],
        folders: Sequence[str] = FOLDERS,
    ) -> None:
        """Have these ``folders`` in ``job_dir/space``, writable by ``owner`` (uid, gid).

        What was written before is kept, also after a restart of the machine. Raises
        VolumeFailed.
        """

    @abstractmethod
    async def usage(self, job_dir: Path) -> Usage:
        """How much of a prepared space is used. Raises VolumeFailed when there is none."""

    @abstractmethod
    async def release(self, job_dir: Path) -> None:
        """Remove the space with all that is in it, in whatever state it is."""


class LoopSpace(Space):
    """An ext4 file system in a sparse file. Needs root and a kernel with loop devices."""

    enforced = True

    def __init__(self) -> None:
        self._blanks = Blanks()

    async def prepare(
        self,
        job_dir: Path,
        *,
        size_bytes: int,
        files: int,
        owner: tuple[int, int],
        folders: Sequence[str] = FOLDERS,
    ) -> None:
        space, image = job_dir / SPACE, job_dir / IMAGE
        is_mounted, is_made = await asyncio.to_thread(_look, space, image)
        if not is_mounted:
            if is_made:
                # The machine may have stopped while it was mounted, and it has no journal.
                await tools.run(
                    "e2fsck", "-p", "-f", str(image), accept=_CHECKED_IMAGE, timeout_s=_CHECK_S
                )
            else:
                await self._make_image(job_dir, size_bytes, files)
            tenure.require()
            await _mount(image, space)
        await asyncio.to_thread(_make_subfolders, space, folders, owner)

    async def usage(self, job_dir: Path) -> Usage:
        return await asyncio.to_thread(_mounted_usage, job_dir / SPACE)

    async def release(self, job_dir: Path) -> None:
        await _unmount(job_dir / SPACE)
        await _remove(job_dir, SPACE, IMAGE, UNFINISHED_IMAGE)

    async def _make_image(self, job_dir: Path, size_bytes: int, files: int) -> None:
        unfinished = job_dir / UNFINISHED_IMAGE
        total = image_bytes(size_bytes, files)
        try:
            await self._blanks.put(unfinished, (total, files), partial(_format, files=files))
        except OSError as error:
            raise _failed("The job's space could not be made", error) from error
        tenure.require()
        unfinished.rename(job_dir / IMAGE)


class WatchedSpace(Space):
    """A plain folder. Limits are noticed when somebody looks, not enforced."""

    enforced = False

    async def prepare(
        self,
        job_dir: Path,
        *,
        size_bytes: int,
        files: int,
        owner: tuple[int, int],
        folders: Sequence[str] = FOLDERS,
    ) -> None:
        limits = {"size_bytes": size_bytes, "files": files}
        await asyncio.to_thread(_make_watched, job_dir, limits, folders, owner)

    async def usage(self, job_dir: Path) -> Usage:
        return await asyncio.to_thread(_watched_usage, job_dir)

    async def release(self, job_dir: Path) -> None:
        await _remove(job_dir, SPACE, LIMITS, f".{LIMITS}.new")


async def best_space(probe_dir: Path, choice: Literal["auto", "loop", "watch"]) -> Space:
    """The strictest space that works here; ``probe_dir`` is where jobs will have theirs.

    ``loop`` insists: raises VolumeFailed where it does not work.
    """
    if choice == "watch":
        return WatchedSpace()
    if choice == "auto" and (why := _why_no_mounts()):
        log.warning("space.watched reason=%s", why)
        return WatchedSpace()
    try:
        await _probe(probe_dir)
    except VolumeFailed as error:
        if choice == "loop":
            raise
        log.warning("space.watched reason=%s", error.public)
        return WatchedSpace()
    return LoopSpace()


def image_bytes(size_bytes: int, files: int) -> int:
    """Size of an ext4 image that holds ``size_bytes`` of data in ``files`` files.

    Adds what ext4 needs itself: inode tables, bitmaps and copies of the superblock in
    each group, the 2 % (at most 4096 blocks) that the kernel holds back for its
    book-keeping, room for folders and extents, and as much as may stay free when a write
    is refused, so that a space counts as full only beyond its size.
    """
    inodes = (files + _OWN_INODES) * _INODE_BYTES // BLOCK + 1
    room = files * 64 // BLOCK + size_bytes // BLOCK // 256 + 32
    blocks = -(-size_bytes // BLOCK) + inodes + room + _REFUSED_AT_ONCE // BLOCK
    groups = blocks // _GROUP_BLOCKS + 1
    blocks += groups * (2 + _INODE_BYTES * 16 // BLOCK + 1 + groups * 64 // BLOCK + 1)
    blocks += min(blocks // 48 + 1, 4096)
    return blocks * BLOCK


async def _format(image: Path, *, files: int) -> None:
    await tools.run(
        "mkfs.ext4",
        *("-q", "-F", "-m", "0", "-b", str(BLOCK), "-I", str(_INODE_BYTES)),
        *("-N", str(files + _OWN_INODES), "-O", "^has_journal,^resize_inode"),
        *("-E", "nodiscard,root_owner=0:0,lazy_itable_init=1"),
        str(image),
    )


async def _mount(image: Path, space: Path) -> None:
    options = "loop,rw,nodev,nosuid,noatime,noinit_itable,errors=remount-ro"
    await tools.run("mount", "-t", "ext4", "-o", options, str(image), str(space))


async def _unmount(space: Path) -> None:
    """Unmount until nothing is mounted there; lazily only when it stays busy."""
    tries = 0
    while await asyncio.to_thread(_is_mounted, space):
        tenure.require()
        tries += 1
        lazily = tries > _BUSY_TRIES
        try:
            await tools.run("umount", *(("-l",) if lazily else ()), str(space))
        except VolumeFailed:
            if lazily:
                raise
            await asyncio.sleep(_BUSY_PAUSE_S)
        else:
            if lazily:
                log.warning("space.unmounted_lazily path=%s", space)


async def _remove(job_dir: Path, *names: str) -> None:
    paths = await asyncio.to_thread(_not_gone, [job_dir / name for name in names])
    if paths:
        tenure.require()
        # rm walks trees of any depth; a mount that is still there stays untouched.
        try:
            await tools.run("rm", *_ALL_OF_IT, *paths, timeout_s=_CHECK_S)
        except VolumeFailed:
            if os.geteuid() == 0:
                raise
            # Who is not root is bound by modes, and an algorithm may have closed its folders.
            await tools.run("chmod", "-R", "u+rwx", "--", *paths, accept=frozenset({0, 1}))
            await tools.run("rm", *_ALL_OF_IT, *paths, timeout_s=_CHECK_S)


def _not_gone(paths: Sequence[Path]) -> list[str]:
    """What is more than a file or an empty folder, which go at once."""
    return [str(path) for path in paths if not _goes(path)]


def _goes(path: Path) -> bool:
    tenure.require()
    try:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _is_mounted(path: Path) -> bool:
    """True when the kernel has a file system mounted exactly there."""
    wanted = os.path.realpath(path.parent) + "/" + path.name
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return any(_unescaped(line.split(" ", 5)[4]) == wanted for line in lines)


def _unescaped(text: str) -> str:
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, letter)
    return text


def _look(space: Path, image: Path) -> tuple[bool, bool]:
    """Whether the space is mounted, and whether its image is there; its mount point is."""
    _make_mount_point(space)
    return _is_mounted(space), image.exists()


def _make_mount_point(space: Path) -> None:
    try:
        space.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _failed("The job's folder could not be made", error) from error


def _make_subfolders(space: Path, folders: Sequence[str], owner: tuple[int, int]) -> None:
    try:
        space.chmod(0o755)
        for name in folders:
            folder = space / name
            folder.mkdir(mode=0o755, exist_ok=True)
            _give(folder, owner)
    except OSError as error:
        raise _failed("The job's folders could not be made", error) from error


def _give(folder: Path, owner: tuple[int, int]) -> None:
    """Let the owner write; without the right to give files away, let everybody."""
    try:
        os.chown(folder, *owner, follow_symlinks=False)
    except PermissionError:
        folder.chmod(0o777)


def _make_watched(
    job_dir: Path, limits: dict[str, int], folders: Sequence[str], owner: tuple[int, int]
) -> None:
    space = job_dir / SPACE
    _make_mount_point(space)
    partial = job_dir / f".{LIMITS}.new"
    try:
        partial.write_text(json.dumps(limits), encoding="utf-8")
        partial.replace(job_dir / LIMITS)
    except OSError as error:
        raise _failed("The job's limits could not be written", error) from error
    _make_subfolders(space, folders, owner)


def _mounted_usage(space: Path) -> Usage:
    if not _is_mounted(space):
        raise VolumeFailed("The job's space is not mounted")
    found = os.statvfs(space)
    free = found.f_bavail * found.f_frsize
    return Usage(
        bytes_used=max(0, (found.f_blocks - found.f_bfree - _FRESH_BLOCKS) * found.f_frsize),
        files_used=max(0, found.f_files - found.f_ffree - _FRESH_INODES),
        full=free < _REFUSED_AT_ONCE or found.f_favail == 0,
    )


def _watched_usage(job_dir: Path) -> Usage:
    try:
        limits = json.loads((job_dir / LIMITS).read_text(encoding="utf-8"))
        size_bytes, most_files = int(limits["size_bytes"]), int(limits["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VolumeFailed("The job's space is not prepared") from error
    used = files = 0
    try:
        for size in _sizes(job_dir / SPACE):
            used, files = used + size, files + 1
            if used > size_bytes or files > most_files:
                return Usage(used, files, full=True)
    except _TooDeep:
        return Usage(used, files, full=True)
    return Usage(used, files, full=False)


def _sizes(space: Path) -> Iterator[int]:
    """Disk use of each entry below the space's folders, symlinks not followed.

    Raises _TooDeep for folders nested deeper than a path can say.
    """
    waiting = [str(folder) for folder in space.iterdir()] if space.is_dir() else []
    while waiting:
        folder = waiting.pop()
        if len(os.fsencode(folder)) > os.pathconf("/", "PC_PATH_MAX") - 256:
            raise _TooDeep
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)


def _why_no_mounts() -> str:
    """Why a mount made here would not be seen by the engine, or "" when it would."""
    if os.geteuid() != 0:
        return "not root"
    if _in_container():
        return "inside a container"
    with suppress(OSError):
        if os.readlink("/proc/self/ns/mnt") != os.readlink("/proc/1/ns/mnt"):
            return "in a mount namespace of its own"
    return ""


def _in_container() -> bool:
    """True for a mark of a container engine; a machine made from an image has these, too,
    but its root is no layered file system."""
    marks = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")
    if not any(os.path.lexists(mark) for mark in marks):
        return False
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        roots = [line for line in lines if line.split(" ", 5)[4] == "/"]
    return any(line.partition(" - ")[2].startswith(("overlay", "fuse", "aufs")) for line in roots)


async def _probe(probe_dir: Path) -> None:
    job_dir = probe_dir / f".space-probe-{uuid4().hex}"
    space = LoopSpace()
    try:
        await space.prepare(job_dir, size_bytes=1 << 20, files=16, owner=(65534, 65534))
        await space.usage(job_dir)
    finally:
        await space.release(job_dir)
        with suppress(FileNotFoundError, NotADirectoryError):
            await asyncio.to_thread(job_dir.rmdir)


def _failed(what: str, error: OSError) -> VolumeFailed:
    return VolumeFailed(f"{what}: {os.strerror(error.errno or 0)}")
