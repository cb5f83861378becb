"""Forms byte by byte: what clients send is read the same however it is cut into pieces."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from aiohttp import FormData
from hypothesis import given
from hypothesis import strategies as st

from provider.dialects.shared.multipart import MOST_HEAD_BYTES, End, FormParser, Head, parameters
from provider.errors import RequestMalformed

TYPE = "multipart/form-data; boundary=b"
ONE = (
    b'--b\r\nContent-Disposition: form-data; name="task_id"\r\n\r\n7\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n\x00\xff\r\n--\r\n-\r\n--b--\r\n"
)
READ = [(Head("task_id", None), b"7"), (Head("file", "a.jsonl"), b"\x00\xff\r\n--\r\n-")]


def read(body: bytes, kind: str = TYPE, size: int = 1 << 20) -> list[tuple[Head, bytes]]:
    """The parts of a form that comes in pieces of ``size`` bytes."""
    parser = FormParser(kind)
    found: list[tuple[Head, bytearray]] = []
    ended = 0
    for start in range(0, len(body), size):
        for event in parser.feed(body[start : start + size]):
            if isinstance(event, Head):
                assert ended == len(found)
                found.append((event, bytearray()))
            elif event is End.OF_PART:
                ended += 1
            else:
                found[-1][1].extend(event)
    parser.finish()
    assert ended == len(found)
    return [(head, bytes(content)) for head, content in found]


def part(head: str, content: bytes = b"x") -> bytes:
    return b"--b\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n--b--"


def named(rest: str) -> Head:
    [(head, _)] = read(part(f"Content-Disposition: form-data; {rest}"))
    return head


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 1 << 20])
def test_pieces_of_any_size_make_the_same_form(size: int) -> None:
    assert read(ONE, size=size) == READ


@pytest.mark.parametrize(
    "body",
    [
        ONE.removesuffix(b"\r\n"),
        b"\r\n" + ONE,
        b"nobody reads this\r\n" + ONE,
        ONE + b"nor this\r\n--b\r\nor this",
        ONE.replace(b"--b\r\n", b"--b \t\r\n"),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_what_stands_around_the_parts_does_not_matter(body: bytes, size: int) -> None:
    assert read(body, size=size) == READ


def test_a_form_may_be_empty() -> None:
    assert read(b"--b--\r\n") == []


def test_an_empty_part_is_one() -> None:
    assert read(part('Content-Disposition: form-data; name="a"', b"")) == [(Head("a", None), b"")]


fields = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20),
        st.one_of(
            st.binary(max_size=200),
            st.lists(
                st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n--", b"b", b"\r\n"]), max_size=30
            ).map(b"".join),
        ),
        st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1),
    ),
    min_size=1,
    max_size=5,
)


class Collected:
    """Takes what a payload writes."""

    def __init__(self) -> None:
        self.body = b""

    async def write(self, chunk: bytes) -> None:
        self.body += chunk


@given(fields, st.integers(1, 100), st.booleans())
async def test_what_another_writer_wrote_is_read_again(
    fields: list[tuple[str, bytes, str | None]], size: int, quoted: bool
) -> None:
    form = FormData(quote_fields=quoted, default_to_multipart=True)
    sent: list[tuple[Head, bytes]] = []
    for name, content, filename in fields:
        if quoted and not name.isascii():
            name = "plain"  # this writer cannot write such names in quotes
        if filename is None:
            text = content.decode("latin-1")
            form.add_field(name, text)
            sent.append((Head(name, None), text.encode()))
        else:
            form.add_field(name, content, filename=filename)
            sent.append((Head(name, quote(filename, "") if quoted else filename), content))
    payload, collected = form(), Collected()
    await payload.write(collected)  # type: ignore[arg-type]
    assert read(collected.body, payload.headers["Content-Type"], size) == sent


@given(st.binary(max_size=300), st.integers(1, 50))
def test_whatever_comes_is_read_or_refused(body: bytes, size: int) -> None:
    for whole in (body, ONE[:60] + body, ONE[:-12] + body):
        try:
            read(whole, size=size)
        except RequestMalformed:
            continue


def test_content_is_known_as_soon_as_it_cannot_be_a_boundary() -> None:
    parser = FormParser(TYPE)
    head = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    assert list(parser.feed(head + b"abc")) == [Head("a", None), b"abc"]
    assert list(parser.feed(b"\r\n-")) == []
    assert list(parser.feed(b"x")) == [b"\r\n-x"]
    assert list(parser.feed(b"\r\r\n--b--")) == [b"\r", End.OF_PART]


@pytest.mark.parametrize(
    ("rest", "head"),
    [
        ('name="a"', Head("a", None)),
        ("name=a", Head("a", None)),
        ("NAME=a ; FileName=b.txt", Head("a", "b.txt")),
        ('name="a";', Head("a", None)),
        ('name="a;b"; filename="c=d; e"', Head("a;b", "c=d; e")),
        ('name="a"; filename="say \\"x\\" \\\\ y"', Head("a", 'say "x" \\ y')),
        ('name="a"; filename="C:\\dir\\x.txt"', Head("a", "C:\\dir\\x.txt")),
        ('name="a"; filename="%22.txt"', Head("a", "%22.txt")),
        ('name="ä"; filename="../../etc/passwd"', Head("ä", "../../etc/passwd")),
        ('name="a"; filename="x"; filename*=UTF-8\'\'%e2%82%ac', Head("a", "€")),
        ("name=\"a\"; filename*=utf-8'de'%C3%A4.txt", Head("a", "ä.txt")),
        ('name="a"; filename="x"; filename*=UTF-8\'\'%ff', Head("a", "x")),
        ('name="a"; filename="x"; filename*=koi8-r\'\'%c1', Head("a", "x")),
        ("name*=utf-8''%C3%A4", Head("ä", None)),
        ('name="a"; filename=""', Head("a", "")),
    ],
)
def test_names_are_read_as_clients_write_them(rest: str, head: Head) -> None:
    assert named(rest) == head


DISPOSITION = 'Content-Disposition: form-data; name="a"'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b\r\n",
        b"--b-",
        b"--b-\r\n",
        b"--bb\r\n",
        b"--b x\r\n" + ONE,
        b"--b" + b" " * 300 + b"\r\n" + ONE,
        b"--b\r\n\r\nno head\r\n--b--",
        ONE[:-8],
        ONE.replace(b"\r\n", b"\n"),
        part("Content-Type: text/plain"),
        part("Content-Disposition: form-data"),
        part('Content-Disposition: form-data; name=""'),
        part('Content-Disposition: attachment; name="a"'),
        part('Content-Disposition: form-data; name="a"; name="b"'),
        part('Content-Disposition: form-data; name="a'),
        part('Content-Disposition: form-data; name="a" b'),
        part('Content-Disposition: form-data name="a"'),
        part(DISPOSITION + "\r\n" + DISPOSITION),
        part(DISPOSITION + "\r\nno colon"),
        part(DISPOSITION + "\r\n folded: line"),
        part(DISPOSITION + "\r\nX: \x01"),
        part(DISPOSITION + "\rX: y"),
        part(DISPOSITION + "\r\nContent-Transfer-Encoding: base64", b"eA=="),
        part(DISPOSITION + "\r\nContent-Transfer-Encoding: quoted-printable", b"=78"),
        part(DISPOSITION + "\r\nX: " + "y" * MOST_HEAD_BYTES),
        b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--b--',
        b"--b\r\n" + b"X" * (2 * MOST_HEAD_BYTES),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_what_is_no_form_is_refused(body: bytes, size: int) -> None:
    with pytest.raises(RequestMalformed):
        read(body, size=size)


def test_plain_transfer_encodings_say_nothing() -> None:
    for word in ("binary", "8bit", "7BIT"):
        head = f"{DISPOSITION}\r\nContent-Transfer-Encoding: {word}"
        assert read(part(head)) == [(Head("a", None), b"x")]


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "b" * 71,
        'multipart/form-data; boundary="b "',
        'multipart/form-data; boundary="b\\"c"',
        "multipart/form-data; boundary=ä",
        "multipart/form-data; boundary=\udcff",
        'multipart/form-data; boundary="b',
        "multipart/form-data; boundary=b; boundary=c",
        "multipart/form-data; charset",
    ],
)
def test_a_boundary_that_is_none_is_refused(kind: str) -> None:
    with pytest.raises(RequestMalformed):
        FormParser(kind)


def test_a_boundary_may_be_quoted_and_stand_anywhere() -> None:
    kind = 'multipart/form-data; charset=utf-8; boundary="a b\'()+_,-./:=?c"'
    body = ONE.replace(b"--b", b"--a b'()+_,-./:=?c")
    assert read(body, kind) == READ
    assert parameters("Multipart/Form-Data;Boundary=b")[1] == {"boundary": "b"}
