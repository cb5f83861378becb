"""Zips from anyone: what is refused, and that what is taken stays in its folder."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from provider.registry.archives import MOST_ENTRIES, Packed, check, pack, unpack
from provider.registry.errors import ArchiveRefused

MOST = 1 << 30


def zipped(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def entry(name: str, mode: int = 0, method: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = method
    return info


def test_a_plain_zip_is_unpacked_as_it_is(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "a.zip",
        ("Dockerfile", b"FROM scratch"),
        ("src/", b""),
        (entry("src/run.sh", stat.S_IFREG | 0o755), b"#!/bin/sh"),
        ("src/deep/data.txt", b"x" * 10),
    )
    check(path, most_bytes=MOST)
    unpack(path, tmp_path / "to", most_bytes=MOST)
    found = {
        str(each.relative_to(tmp_path / "to")): each.read_bytes()
        for each in (tmp_path / "to").rglob("*")
        if each.is_file()
    }
    assert found == {
        "Dockerfile": b"FROM scratch",
        "src/run.sh": b"#!/bin/sh",
        "src/deep/data.txt": b"x" * 10,
    }
    assert (tmp_path / "to" / "src" / "run.sh").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        (entry("../evil"), "'../evil' leads out"),
        (entry("a/../../evil"), "leads out"),
        (entry("a//b"), "leads out"),
        (entry("./a"), "leads out"),
        (entry("/etc/passwd"), "'/etc/passwd' has an absolute name"),
        (entry("\\evil"), "absolute"),
        (entry("C:evil"), "absolute"),
        (entry("a\\..\\evil"), "has a name that is not taken"),
        (entry("a\nb"), "has a name that is not taken"),
        (entry("x" * 300), "too long"),
        (entry("/".join("d" * 40)), "too deep"),
        (entry("link", stat.S_IFLNK | 0o777), "'link' is a link"),
        (entry("pipe", stat.S_IFIFO | 0o644), "is a link or a device"),
        (entry("old", method=zipfile.ZIP_BZIP2), "use deflate"),
    ],
)
def test_entries_that_are_refused(tmp_path: Path, info: zipfile.ZipInfo, problem: str) -> None:
    path = zipped(tmp_path / "a.zip", ("good", b"1"), (info, b"target"))
    with pytest.raises(ArchiveRefused) as refused:
        check(path, most_bytes=MOST)
    assert problem in refused.value.public
    assert refused.value.status == 422
    (tmp_path / "to").mkdir()
    with pytest.raises(ArchiveRefused):
        unpack(path, tmp_path / "to", most_bytes=MOST)
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/"), ("a", "a/b")])
def test_two_entries_for_one_place(tmp_path: Path, names: tuple[str, str]) -> None:
    path = zipped(tmp_path / "a.zip", *((name, b"") for name in names))
    with pytest.raises(ArchiveRefused, match=r"is there twice|is a file and a folder"):
        check(path, most_bytes=MOST)


def test_an_encrypted_entry(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", (entry("secret"), b"x"))
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(ArchiveRefused, match="'secret' is encrypted"):
        check(path, most_bytes=MOST)


def test_too_much(tmp_path: Path) -> None:
    bomb = zipped(tmp_path / "bomb.zip", ("zeros", bytes(32 << 20)))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(ArchiveRefused, match="times its own size"):
        check(bomb, most_bytes=MOST)
    with pytest.raises(ArchiveRefused, match=f"unpacks to {32 << 20} bytes; 1024 are taken"):
        check(bomb, most_bytes=1024)
    many = zipped(tmp_path / "many.zip", *((str(n), b"") for n in range(MOST_ENTRIES + 1)))
    with pytest.raises(ArchiveRefused, match=f"{MOST_ENTRIES} are taken at most"):
        check(many, most_bytes=MOST)


def test_a_list_of_entries_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "list.zip"
    size = 9 << 20
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, size, 0, 0)
    path.write_bytes(bytes(size) + end)
    with pytest.raises(ArchiveRefused, match="list of entries cannot be read"):
        check(path, most_bytes=MOST)


def test_a_size_that_is_not_the_real_one(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("zeros", bytes(1 << 20)))
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\1\2")
    raw[at + 24 : at + 28] = struct.pack("<L", 10)
    path.write_bytes(raw)
    check(path, most_bytes=1000)
    (tmp_path / "to").mkdir()
    with pytest.raises(ArchiveRefused, match="damaged"):
        unpack(path, tmp_path / "to", most_bytes=1000)
    assert (tmp_path / "to" / "zeros").stat().st_size <= 10


def _cut(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def _flipped(raw: bytes) -> bytes:
    return bytes(255 - each for each in raw)


def _nothing(raw: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("change", [_cut, _flipped, _nothing])
def test_what_is_no_zip(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = zipped(tmp_path / "a.zip", ("a", b"1" * 1000))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ArchiveRefused, match="is not a zip"):
        check(path, most_bytes=MOST)


def test_packing_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    files = []
    for number, name in enumerate(["b", "a/c", "b"]):
        (tmp_path / str(number)).write_text(f"text {number}")
        files.append(Packed(name, tmp_path / str(number), 6))
    pack(files, tmp_path / "one.zip")
    pack([files[1], files[0], files[2]], tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["a/c", "b", "b.2"]
        assert archive.read("a/c") == b"text 1"
    check(tmp_path / "one.zip", most_bytes=MOST)


def test_an_entry_that_is_said_to_be_elsewhere(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("good", b"1"), ("lost", b"2"))
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\1\2")
    raw[at + 42 : at + 46] = struct.pack("<L", 0x7FFFFFFF)
    path.write_bytes(raw)
    with pytest.raises(ArchiveRefused, match="'lost' is said to be where the zip has nothing"):
        check(path, most_bytes=MOST)


def test_an_entry_that_is_said_to_be_before_the_beginning(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("good", b"1"))
    raw = bytearray(path.read_bytes())
    end = raw.rindex(b"PK\5\6")
    at = struct.unpack("<L", raw[end + 16 : end + 20])[0]
    raw[end + 16 : end + 20] = struct.pack("<L", at + 1000)
    path.write_bytes(raw)
    with pytest.raises(ArchiveRefused, match=r"where the zip has nothing|cannot be read"):
        check(path, most_bytes=MOST)
