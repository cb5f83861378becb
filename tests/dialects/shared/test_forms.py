"""Forms as they come in over real connections: what is read, what is refused, what is left."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from form_desk import END, FILE, MOST, MULTIPART, Desk, head, text
from kit_server import sent

from provider.dialects.shared import forms
from provider.dialects.shared.forms import Form


def with_file(content: bytes, name: str = "file", filename: str = "a.jsonl") -> aiohttp.FormData:
    data = aiohttp.FormData({"task_id": "t-1"})
    data.add_field(name, content, filename=filename)
    return data


@pytest.mark.parametrize("name", ["file", "task_file"])
@pytest.mark.parametrize("size", [0, 1, 200_000, 262_144, MOST])
async def test_texts_and_a_file_come_in_and_the_file_goes(desk: Desk, name: str, size: int) -> None:
    status, told = await desk.post(with_file(b"\r" * size, name))
    assert (status, told["fields"]) == (200, {"task_id": "t-1"})
    assert told["file"] == {
        "field": name,
        "filename": "a.jsonl",
        "size": size,
        "mode": "0o600",
        "begin": "\r" * min(size, 20),
    }


async def test_what_was_moved_away_stays(desk: Desk, tmp_path: Path) -> None:
    def move(form: Form) -> None:
        assert form.file
        os.replace(form.file.path, tmp_path / "kept")

    desk.inside = move
    status, _ = await desk.post(with_file(b"abc"))
    assert (status, (tmp_path / "kept").read_bytes()) == (200, b"abc")


async def test_the_file_goes_when_the_handler_fails(desk: Desk) -> None:
    def fail(form: Form) -> None:
        assert form.file
        assert form.file.path.exists()
        raise RuntimeError

    desk.inside = fail
    status, _ = await desk.post(with_file(b"abc"))
    assert status == 500


async def test_a_file_without_length_comes_in_too(desk: Desk) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield text("task_id") + FILE
        for _ in range(100):
            yield b"0123456789"
        yield b"\r\n" + END

    status, told = await desk.post(chunks(), **{"Content-Type": MULTIPART})
    assert (status, told["file"]["size"], told["fields"]) == (200, 1000, {"task_id": "x"})


async def test_a_large_file_is_never_in_memory(desk: Desk) -> None:
    desk.most = 24 << 20

    async def chunks() -> AsyncIterator[bytes]:
        yield FILE
        for _ in range(desk.most >> 16):
            yield b"x" * (1 << 16)
        yield b"\r\n" + END

    desk.inside = lambda form: peaks.append(tracemalloc.get_traced_memory()[1])
    peaks: list[int] = []
    tracemalloc.start()
    try:
        status, told = await desk.post(chunks(), **{"Content-Type": MULTIPART})
    finally:
        tracemalloc.stop()
    assert (status, told["file"]["size"]) == (200, desk.most)
    assert peaks[0] < 8 << 20


async def test_a_name_of_a_file_is_a_text_and_no_path(desk: Desk) -> None:
    body = FILE.replace(b'filename="a"', b'filename="../../evil"') + b"x\r\n" + END
    answer = await desk.raw(body)
    assert json.loads(answer.body)["file"]["filename"] == "../../evil"


@pytest.mark.parametrize(
    ("body", "file"),
    [
        (END, None),
        (text("task_id") + END, None),
        (text("task_id") + FILE.replace(b'"a"', b'""') + b"\r\n" + END, None),
        (text("task_id") + text("file", b"by text") + END, "by text"),
    ],
)
async def test_a_form_may_have_no_file_or_one_without_a_name(
    desk: Desk, body: bytes, file: str | None
) -> None:
    answer = await desk.raw(body)
    told = json.loads(answer.body)["file"]
    assert (answer.status, told and told["begin"]) == (200, file)


REFUSED = [
    (FILE + b"1\r\n" + FILE + b"2\r\n" + END, "Send one file at a time."),
    (
        FILE + b"1\r\n" + FILE.replace(b'"file"', b'"task_file"') + b"2\r\n" + END,
        "Send one file at a time.",
    ),
    (
        FILE.replace(b'"file"', b'"other"') + b"1\r\n" + END,
        "The form's file belongs in the field task_file or file.",
    ),
    (text("a", b"x" * 65537) + END, "The field a is too long."),
    (
        b"".join(text(f"f{n}", b"x" * 65536) for n in range(5)) + END,
        "The field f4 is too long.",
    ),
    (b"".join(text(f"f{n}") for n in range(65)) + END, "The form has more than 64 fields."),
    (text("a") + text("a") + END, "The field a is there twice."),
    (text("a", b"\xff") + END, "The field a is not UTF-8."),
    (text("a", b"\xed\xa0\x80") + END, "The field a is not UTF-8."),
    (text("a", b"x\0y") + END, "The field a has a zero byte."),
    (text("<script>", b"\xff") + END, "A field is not UTF-8."),
    (FILE + b"1", "The form breaks off before its last boundary."),
    (FILE + b"1\r\n--b", "The form breaks off before its last boundary."),
    (b"nothing of a form", "The form breaks off before its last boundary."),
    (FILE[:-2] + b"Content-Transfer-Encoding: base64\r\n\r\neA==\r\n" + END, None),
]


@pytest.mark.parametrize(("body", "said"), REFUSED)
async def test_what_is_wrong_is_told_and_leaves_nothing(
    desk: Desk, body: bytes, said: str | None
) -> None:
    answer = await desk.raw(body)
    told = json.loads(answer.body)["said"]
    assert answer.status == 400
    assert told == (said or "Send the parts of the form as they are, not encoded.")
    assert desk.files == []


async def test_64_fields_of_text_are_not_too_many(desk: Desk) -> None:
    answer = await desk.raw(b"".join(text(f"f{n}", b"x" * 4096) for n in range(64)) + END)
    assert (answer.status, len(json.loads(answer.body)["fields"])) == (200, 64)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="\x7f"',
    ],
)
async def test_a_form_without_a_boundary_is_refused(desk: Desk, kind: str) -> None:
    assert (await desk.raw(END, kind)).status == 400


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/mixed; boundary=b"])
async def test_a_body_of_another_type_is_refused(desk: Desk, kind: str) -> None:
    answer = await desk.raw(END, kind)
    assert (answer.status, b"must be a form" in answer.body) == (400, True)


async def test_no_body_is_an_empty_form(desk: Desk) -> None:
    status, told = await desk.post(None)
    assert (status, told) == (200, {"fields": {}, "file": None})


async def test_a_compressed_form_is_refused(desk: Desk) -> None:
    raw = head(MULTIPART, len(END), "Content-Encoding: gzip\r\n") + END
    answer = await sent(desk.port, raw)
    assert (answer.status, b"not compressed" in answer.body) == (400, True)


# the disk


async def test_a_disk_that_takes_nothing_is_said_to_pass(desk: Desk) -> None:
    desk.folder.rmdir()
    status, told = await desk.post(with_file(b"abc"))
    assert status == 503
    assert told == {"said": "Files cannot be taken in at the moment; try again."}


def test_what_a_crash_has_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "uploads"
    forms.sweep(folder)
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    (folder / "upload-abc").write_bytes(b"half")
    (folder / "other").write_bytes(b"whole")
    forms.sweep(folder)
    assert [path.name for path in folder.iterdir()] == ["other"]


# without files

URLENCODED = "application/x-www-form-urlencoded"


async def test_texts_may_come_without_parts(desk: Desk) -> None:
    answer = await desk.raw(b"a=1&b=%C3%A4+x&c=&d", URLENCODED)
    assert json.loads(answer.body) == {
        "fields": {"a": "1", "b": "ä x", "c": "", "d": ""},
        "file": None,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"a=\xff",
        b"a=%FF",
        b"a=%00",
        b"a=1&a=2",
        b"&".join(b"f%d=1" % n for n in range(65)),
        b"a=" + b"x" * 65537,
        b"a=" + b"x" * 300_000,
    ],
)
async def test_texts_without_parts_are_bounded_as_well(desk: Desk, body: bytes) -> None:
    answer = await desk.raw(body, URLENCODED)
    assert (answer.status, "said" in json.loads(answer.body)) == (400, True)


def test_a_form_shows_no_values() -> None:
    assert "hush" not in repr(Form({"secret": "hush"}))
