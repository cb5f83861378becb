"""What contents are, how many rows they have, and what lies in archives."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.egress import contents
from compute.egress.bounds import MOST_DEPTH, Budget, Doubt
from compute.egress.inspection import PIECE, Part, Wants, parts_of
from compute.egress.names import is_allowed, matches_any

ALL = Wants(types=True, rows=True, digests=True)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def look(path: Path, content: bytes, budget: Budget | None = None) -> list[Part]:
    path.write_bytes(content)
    return list(parts_of(path, ALL, budget or Budget(1 << 24)))


def sqlite(path: Path) -> bytes:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (a)")
    database.close()
    return path.read_bytes()


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def tarred(form: int = tarfile.PAX_FORMAT, **members: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "word", "rows"),
    [
        (b"a,b\n1,2\n3,4\n", "text/csv", 3),
        (b"a,b\r\n1,2\r\n3,4", "text/csv", 3),
        (b"a,b\r1,2\r", "text/csv", 2),
        (b"a,b\f1,2\f3,4\f", "text/csv", 3),
        (b"\n\n a,b\n\n \n1,2\n", "text/csv", 2),
        (b'a,b\n"x\ny",2\n', "text/csv", 3),
        (b"a\tb\n1\t2\n", "text/tab-separated-values", 2),
        (b"one, two\nthree\n", "text/plain", 2),
        (b"word\n", "text/plain", 1),
        ("Müller\nJürgen\n".encode("latin-1"), "text/plain", 2),
        ("a,b\n1,2\n".encode("utf-16"), "text/csv", 2),
        (b"\xef\xbb\xbfa,b\n1,2\n", "text/csv", 2),
        (b"[1, 2, 3]", "application/json", 3),
        (b"[1]", "application/json", 1),
        (b"[]", "application/json", 0),
        (b'{"a": [1, 2, [3, 4, 5, 6]], "b,[{": 1}\n', "application/json", 4),
        (b'{"a": {"1": 1, "2": 2, "3": 3}}', "application/json", 3),
        (json.dumps({"csv": "1\n2\n3\n", "quote": '"'}).encode(), "application/json", 3),
        (b'{"a": 1}\n{"a": 2}\n', "application/x-ndjson", 2),
        (b'[{"a": 1}\n', "text/plain", 1),
        (b'{"a": 1}\nrow\nrow\n', "text/plain", 3),
        (b"[" * 5000 + b"]" * 5000, "text/plain", 1),
        (b"<html><table><tr><td>1<tr><td>2<tr></table>", "text/html", 3),
        (b"<?xml version='1.0'?><r><row/><row/></r>", "application/xml", 2),
        (b"<svg><path/><path/></svg>", "image/svg+xml", 2),
        (b"x" * (1 << 20) + b"yy", "text/plain", None),
        (b"\x00\x01\x02", "application/octet-stream", None),
        (b"a,b\n1,2\n" * 1000 + b"\x00", "application/octet-stream", None),
        (b"PAR1....PAR1", "application/vnd.apache.parquet", None),
        (b"\x93NUMPY\x01", "application/x-npy", None),
        (PNG, "image/png", 0),
        (b"\xff\xd8\xff\xe0", "image/jpeg", 0),
        (b"RIFF1234WEBPVP8", "image/webp", 0),
        (b"%PDF-1.7\n", "application/pdf", 0),
    ],
)
def test_what_a_file_is_and_its_rows(
    tmp_path: Path, content: bytes, word: str, rows: int | None
) -> None:
    [part] = look(tmp_path / "file", content)
    assert (part.word, part.rows) == (word, rows)
    assert word in contents.WORDS


def test_a_database_cannot_be_counted(tmp_path: Path) -> None:
    [part] = look(tmp_path / "file", sqlite(tmp_path / "db"))
    assert (part.word, part.rows) == ("application/vnd.sqlite3", None)


@given(st.lists(st.text('ab,"\\\n[]{}é', max_size=20), max_size=50), st.integers(1, 3))
def test_rows_of_json_do_not_depend_on_how_it_is_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str], indent: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.json"
    breaks = sum(row.count("\n") for row in rows)
    for text in (json.dumps(rows), json.dumps(rows, indent=indent)):
        [part] = look(path, text.encode())
        assert (part.word, part.rows) == ("application/json", max(len(rows), breaks))


def test_texts_longer_than_a_piece(tmp_path: Path) -> None:
    row = b'{"name": "' + b"x\\\\" * 1000 + b'"},'
    count = 3 * PIECE // len(row)
    [part] = look(tmp_path / "file", b"[" + row * count + b"{}]")
    assert (part.word, part.rows) == ("application/json", count + 1)
    [part] = look(tmp_path / "file", b"1234567,1\n" * PIECE)
    assert (part.word, part.rows) == ("text/csv", PIECE)
    [part] = look(tmp_path / "file", b"<a>" + b"<row  a='1'/>" * PIECE + b"</a>")
    assert (part.word, part.rows) == ("application/xml", PIECE)


TABLE = b"1,2\n" * 500
PACKED = {
    "zip": zipped(a=TABLE),
    "tar": tarred(a=b"x", b=TABLE),
    "gnu tar": tarred(tarfile.GNU_FORMAT, **{"n" * 200: TABLE}),
    "old tar": tarred(tarfile.USTAR_FORMAT, a=TABLE),
    "long names": tarred(**{"n" * 300: b"", "é": TABLE}),
    "gzip": gzip.compress(TABLE),
    "two gzips": gzip.compress(TABLE[:1000]) + gzip.compress(TABLE[1000:]) + bytes(10),
    "bzip2": bz2.compress(TABLE),
    "xz": lzma.compress(TABLE),
    "tar.gz": gzip.compress(tarred(a=TABLE)),
    "tar.xz in zip in gz": gzip.compress(zipped(b=b"", x=lzma.compress(tarred(a=TABLE)))),
}


@pytest.mark.parametrize("kind", PACKED)
def test_what_lies_in_an_archive(tmp_path: Path, kind: str) -> None:
    parts = look(tmp_path / "file", PACKED[kind])
    digests = {part.sha256 for part in parts}
    assert hashlib.sha256(TABLE).hexdigest() in digests
    assert max(part.rows or 0 for part in parts) == 500
    assert parts[-1].word in contents.LOOKED_INTO


@pytest.mark.parametrize("kind", PACKED)
def test_an_archive_that_is_cut_off_is_doubted(tmp_path: Path, kind: str) -> None:
    whole = PACKED[kind].rstrip(b"\0")
    with pytest.raises(Doubt):
        look(tmp_path / "file", whole[: len(whole) * 2 // 3])


def nested(times: int) -> bytes:
    packed = TABLE
    for _ in range(times):
        packed = gzip.compress(packed)
    return packed


def encrypted() -> bytes:
    made = bytearray(zipped(a=TABLE))
    made[6] |= 1
    made[made.index(b"PK\x01\x02") + 8] |= 1
    return bytes(made)


def a_lying_tar() -> bytes:
    made = bytearray(tarred(tarfile.USTAR_FORMAT, a=TABLE))
    made[124:136] = b"\x80" + b"\xff" * 11
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made[:512])
    return bytes(made)


def test_bounds_are_kept(tmp_path: Path) -> None:
    assert look(tmp_path / "file", nested(MOST_DEPTH))
    bombs = {
        "too deep": nested(MOST_DEPTH + 1),
        "too large": gzip.compress(bytes(1 << 25)),
        "too large when nested": gzip.compress(gzip.compress(bytes(1 << 25))),
        "too many": gzip.compress(tarred(a=b"")[:512] * 1001),
        "a large directory": zipped(**{"n" * 60_000 + str(n): b"" for n in range(100)}),
        "encrypted": encrypted(),
        "a lying tar": a_lying_tar(),
        "zstandard": b"\x28\xb5\x2f\xfd" + bytes(10),
        "seven": b"7z\xbc\xaf\x27\x1c" + bytes(10),
        "no zip": b"PK\x03\x04" + bytes(1000),
    }
    for bomb in bombs.values():
        with pytest.raises(Doubt):
            look(tmp_path / "file", bomb, Budget(1 << 24, members_left=1000))


@given(st.sampled_from(sorted(PACKED)), st.integers(0, 1 << 16), st.binary(max_size=64))
def test_hostile_bytes_are_told_or_doubted_and_always_end(
    tmp_path_factory: pytest.TempPathFactory, kind: str, at: int, noise: bytes
) -> None:
    whole = PACKED[kind]
    at %= len(whole)
    path = tmp_path_factory.getbasetemp() / "hostile"
    try:
        parts = look(path, whole[:at] + noise + whole[at + len(noise) :])
    except Doubt:
        return
    assert all(part.word in {*contents.WORDS, contents.EMPTY} for part in parts)


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("a.csv", "*.csv", True),
        ("x/a.csv", "*.csv", False),
        ("x/a.csv", "*/*.csv", True),
        ("x/a.csv", "**/*.csv", True),
        ("a.csv", "**/*.csv", True),
        ("x/y/z/a.csv", "**/*.csv", True),
        ("x/y/a.csv", "x/**/a.csv", True),
        ("x/a.csv", "x/**/a.csv", True),
        ("y/a.csv", "x/**/a.csv", False),
        ("x/y", "**", True),
        ("x/y", "x/**", True),
        ("y/x", "x/**", False),
        ("a.csv", "A.CSV", False),
        ("plot-1.png", "plot-?.png", True),
        ("plot-12.png", "plot-?.png", False),
        ("b.csv", "[ab].csv", True),
        ("c.csv", "[!ab].csv", True),
        ("a.csv", "a", False),
    ],
)
def test_patterns_of_names(path: str, pattern: str, fits: bool) -> None:
    assert matches_any(path, [pattern]) is fits


def test_hostile_names_and_patterns_cost_little() -> None:
    assert not matches_any("a" * 1000, ["*a" * 100 + "b"])
    assert not matches_any("/".join(["a"] * 32), ["/".join(["**", "a"] * 60 + ["b"])])


def test_patterns_of_words() -> None:
    assert is_allowed("image/png", ["text/*", "image/*"])
    assert not is_allowed("image/png", ["image/jpeg"])
