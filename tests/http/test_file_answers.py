"""Files over HTTP: conditions, ranges, and names that algorithms chose. Pure tables."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from provider.downloads import Answer, answer, content_type, disposition

ETAG = '"abc"'
WHOLE = Answer(200, 0, 10)


def unsatisfiable(size: int = 10) -> Answer:
    return Answer(416, headers={"Content-Range": f"bytes */{size}"})


def part(first: int, last: int) -> Answer:
    headers = {"Content-Range": f"bytes {first}-{last}/10"}
    return Answer(206, first, last - first + 1, headers)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-3", part(0, 3)),
        ("bytes=4-", part(4, 9)),
        ("bytes=4-400", part(4, 9)),
        ("bytes=9-9", part(9, 9)),
        ("bytes=-3", part(7, 9)),
        ("bytes=-300", part(0, 9)),
        ("bytes=10-", unsatisfiable()),
        ("bytes=10-11", unsatisfiable()),
        ("bytes=-0", unsatisfiable()),
        ("bytes=3-1", WHOLE),
        ("bytes=0-1,4-5", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=a-b", WHOLE),
        ("lines=1-2", WHOLE),
        ("bytes=0-" + "9" * 30, WHOLE),
        ("bytes=٣-", WHOLE),
        ("", WHOLE),
    ],
)
def test_ranges(value: str, expected: Answer) -> None:
    assert answer("GET", CIMultiDict({"range": value}), 10, ETAG) == expected


def test_no_part_of_an_empty_file_can_be_had() -> None:
    assert answer("GET", CIMultiDict({"Range": "bytes=0-"}), 0, ETAG) == unsatisfiable(0)
    assert answer("GET", CIMultiDict(), 0, ETAG) == Answer(200, 0, 0)


def test_head_answers_for_the_whole_file() -> None:
    assert answer("HEAD", CIMultiDict({"Range": "bytes=0-3"}), 10, ETAG) == WHOLE


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": '"abc"'}, 304),
        ({"If-None-Match": 'W/"abc"'}, 304),
        ({"If-None-Match": '"x", "abc"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-None-Match": '"abc"', "Range": "bytes=0-1"}, 304),
        ({"If-Match": '"abc"'}, 200),
        ({"If-Match": 'W/"abc"'}, 412),
        ({"If-Match": '"x"'}, 412),
        ({"If-Range": '"abc"', "Range": "bytes=0-1"}, 206),
        ({"If-Range": '"x"', "Range": "bytes=0-1"}, 200),
        ({"If-Range": 'W/"abc"', "Range": "bytes=0-1"}, 200),
        ({"If-Range": "Fri, 20 Nov 2026 15:47:13 GMT", "Range": "bytes=0-1"}, 200),
    ],
)
def test_conditions(headers: dict[str, str], status: int) -> None:
    assert answer("GET", CIMultiDict(headers), 10, ETAG).status == status


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("metrics.json", "attachment;filename=metrics.json"),
        ("deep/er/plot.png", "attachment;filename=plot.png"),
        ("my file.csv", "attachment;filename=\"my file.csv\";filename*=UTF-8''my%20file.csv"),
        ('a"b\\c.csv', "attachment;filename=\"a_b_c.csv\";filename*=UTF-8''a%22b%5Cc.csv"),
        ("ü.csv", "attachment;filename=\"_.csv\";filename*=UTF-8''%C3%BC.csv"),
        ("a\r\nSet-Cookie: x=1", None),
        ("..", "attachment;filename=result"),
        ("x/", "attachment;filename=result"),
        ("", "attachment;filename=result"),
        ("\ud800.txt", None),
    ],
)
def test_names(name: str, expected: str | None) -> None:
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.startswith("attachment;filename=")
    assert expected is None or header == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("metrics.json", "application/json"),
        ("deep/table.csv", "text/csv"),
        ("algorithm.log", "text/plain"),
        ("plot.png", "image/png"),
        ("all.tar.gz", "application/gzip"),
        ("model.unknown", "application/octet-stream"),
        ("data:text/html", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_types(name: str, expected: str) -> None:
    assert content_type(name) == expected
