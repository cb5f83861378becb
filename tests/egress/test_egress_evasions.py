"""Ways to have a table pass for less than it is, or an archive for one that holds less."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.egress.bounds import Budget, Doubt
from compute.egress.inspection import PIECE, Part, Wants, parts_of
from compute.egress.json_rows import LONG, JsonMeter

ALL = Wants(types=True, rows=True, digests=True)
LINES = [f"{number};{number * 7};name" for number in range(1000)]
TABLE = "\n".join(LINES).encode()


def look(path: Path, content: bytes, budget: Budget | None = None) -> list[Part]:
    path.write_bytes(content)
    return list(parts_of(path, ALL, budget or Budget(1 << 24)))


def tree(rows: list[str]) -> list[Any]:
    """A table in which no array has more than three members."""
    half = len(rows) // 2
    return [rows[half], tree(rows[:half]), tree(rows[half + 1 :])] if rows else []


@pytest.mark.parametrize(
    "content",
    [
        b'["' + TABLE + b'"]',
        b'["' + TABLE.replace(b"\n", b"\\u000a") + b'"]',
        b'["' + TABLE.replace(b"\n", b"\\u000D") + b'"]',
        b'["' + TABLE.replace(b"\n", b"\\u2028") + b'"]',
        b'["' + TABLE.replace(b"\n", b"\\\n") + b'"]',
        b"[" + TABLE + b"]",
        b"[1" + TABLE + b"\n,2]",
        b'["a"\n' + b"\n".join(b'"row"' for _ in LINES) + b"]",
        b'["a"\n' + TABLE + b"\n]",
        b"[\n" + b"\n".join(b"[1,2]" for _ in LINES) + b"]",
        json.dumps(tree(LINES)).encode(),
        b"<?xml version='1.0'?>" + "<é/>".encode() * 1001,
        b"<?xml version='1.0'?>" + b"<:r/>" * 1001,
    ],
)
def test_a_table_in_another_dress_has_its_rows(tmp_path: Path, content: bytes) -> None:
    [part] = look(tmp_path / "file", content)
    assert part.rows is not None
    assert part.rows >= 999


def test_what_ends_a_row_may_be_any_character(tmp_path: Path) -> None:
    """A long line, or a long string of JSON, is several rows."""
    row = b"x;" * LONG
    for content in (row * 20, b"[]" + row * 20, b'{"a": "' + row * 20 + b'"}'):
        [part] = look(tmp_path / "file", content)
        assert part.rows in {40, 41}
    [part] = look(tmp_path / "file", b"short\n" + row + b"\n" + row[:-1] + b"\nshort\n")
    assert part.rows == 1 + 3 + 2 + 1


def values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
    inner = st.recursive(
        leaves, lambda each: st.lists(each) | st.dictionaries(st.text(max_size=9), each)
    )
    return st.lists(inner) | st.dictionaries(st.text(max_size=9), inner)


def largest(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max([len(inner), *map(largest, inner)]) if isinstance(value, list | dict) else 0


@settings(max_examples=40, deadline=None)
@given(values(), st.booleans(), st.sampled_from([None, 2]), st.integers(1, 9))
def test_all_json_is_sound_however_it_comes(
    value: Any, escaped: bool, indent: int | None, step: int
) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent)
    data = text.encode("utf-8", "surrogatepass")
    meter = JsonMeter()
    for at in range(0, len(data), step):
        meter.feed(data[at : at + step])
    assert (meter.sound, meter.values, meter.most) == (True, 1, largest(value))
    meter.feed(b",")
    assert not meter.sound


@given(st.lists(st.sampled_from(['"a"', "1", "[", "]", "{", "}", ",", ":", " ", "\n", "tr", "ue"])))
def test_what_is_not_json_is_not_sound(tokens: list[str]) -> None:
    text = "".join(tokens)
    meter = JsonMeter()
    for token in tokens:
        meter.feed(token.encode())
    try:
        valid = isinstance(json.loads(text), list | dict)
    except ValueError:
        valid = False
    if valid:
        assert meter.sound
        assert meter.values == 1
    elif meter.sound and meter.values == 1:
        # Only the spelling of numbers and words is not looked at.
        json.loads(_with_ones(text))


def _with_ones(text: str) -> str:
    """Every number or word outside strings replaced by 1; there are none in the strings."""
    words = text.replace('"a"', '""').replace("tr", "1").replace("ue", "1")
    while "11" in words:
        words = words.replace("11", "1")
    return words


def tarred(name: bytes = b"a", content: bytes = TABLE, *, old: bool = False) -> bytes:
    entry = tarfile.TarInfo("n")
    entry.size = len(content)
    header = bytearray(entry.tobuf(tarfile.USTAR_FORMAT))
    header[: len(name)] = name
    if old:
        header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512) + bytes(1024)


def zipped(name: str = "a", content: bytes = TABLE) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return made.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        tarred(old=True),
        tarred(b"\xff\xfename"),
        tarred(b"GIF89a"),
        tarred(b"%PDF-"),
        tarred(b"ID3"),
        zipped("folder/"),
        b"PK\x07\x08" + zipped(),
        bz2.compress(b"") + bz2.compress(TABLE),
    ],
)
def test_an_archive_is_known_by_what_it_is(tmp_path: Path, content: bytes) -> None:
    parts = look(tmp_path / "file", content)
    assert hashlib.sha256(TABLE).hexdigest() in {part.sha256 for part in parts}
    assert max(part.rows or 0 for part in parts) == 1000


def long_name() -> bytes:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 17
    return entry.tobuf(tarfile.GNU_FORMAT) + b"x;" * (1 << 16) + tarred(content=b"x\n")


def with_comment() -> bytes:
    """A gzip file with a table in its header."""
    body = zlib.compress(b"x\n", wbits=-15)
    header = b"\x1f\x8b\x08\x10" + bytes(6) + TABLE + b"\0"
    return header + body + struct.pack("<II", zlib.crc32(b"x\n"), 2)


def overlapping() -> bytes:
    """A zip archive that names its member twice."""
    made = bytearray(zipped())
    entry = made[(at := made.index(b"PK\x01\x02")) : made.index(b"PK\x05\x06")]
    end = bytearray(made[at + len(entry) :])
    struct.pack_into("<HHI", end, 8, 2, 2, 2 * len(entry))
    return bytes(made[:at] + entry + entry + end)


def commented() -> bytes:
    made = bytearray(zipped(content=b"x\n"))
    struct.pack_into("<H", made, len(made) - 2, len(TABLE))
    return bytes(made) + TABLE


@pytest.mark.parametrize(
    "content",
    [
        tarred(content=b"x\n") + tarred(),
        long_name(),
        with_comment(),
        zipped() + zipped("b", b"x\n"),
        zipped(content=b"x\n")[:60] + TABLE,
        overlapping(),
        commented(),
    ],
)
def test_what_lies_beside_the_members_is_doubted(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Doubt):
        look(tmp_path / "file", content)


def test_archives_with_fields_of_the_usual_kind_are_looked_into(tmp_path: Path) -> None:
    streamed = io.BytesIO()
    with (
        zipfile.ZipFile(streamed, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("é" * 100, "w", force_zip64=True) as member,
    ):
        member.write(TABLE)
    named = io.BytesIO()
    with gzip.GzipFile("a-name.csv", "wb", fileobj=named) as file:
        file.write(TABLE)
    blocked = bytearray(gzip.compress(TABLE))
    blocked[3] = 4
    blocked[10:10] = b"\x06\0BC\x02\0\0\0"
    for content in (streamed.getvalue(), named.getvalue(), bytes(blocked)):
        assert max(part.rows or 0 for part in look(tmp_path / "file", content)) == 1000


def test_looking_ends_when_its_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(Doubt, match="too long"):
        look(tmp_path / "file", b"row\n" * PIECE, Budget(1 << 24, until=0.0))
