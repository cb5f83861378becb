"""File objects: what is accepted, what clients read when it is not, and what never shows."""

from __future__ import annotations

from typing import Any

import pytest
from asset_documents import url_file

from provider.assets.files import (
    MAX_FILES,
    LocalFile,
    TooManyFiles,
    UrlFile,
    parse_file,
    parse_files,
)
from provider.assets.origins.base import file_name
from provider.errors import AssetMalformed, FileObjectInvalid


def test_a_url_file() -> None:
    file = parse_file(url_file("https://e.example/d/table%20one.csv?x=1#y", headers={"A": "b"}))
    assert isinstance(file, UrlFile)
    assert (file.method, file.headers, file.name) == ("GET", {"A": "b"}, "table one.csv")


def test_a_local_file() -> None:
    for kind in ("localfile", "file"):
        file = parse_file({"type": kind, "path": "tables/one.csv"})
        assert isinstance(file, LocalFile)
        assert file.name == "one.csv"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (None, "malformed file object."),
        ([], "malformed file object."),
        ("https://e.example/x", "malformed file object."),
        ({}, "malformed file object."),
        ({"url": "https://e.example/x"}, "malformed file object."),
        ({"type": 5}, "malformed file object."),
        ({"type": "ftp", "url": "Q"}, "Unsupported type ftp"),
        ({"type": "URL", "url": "https://e.example/x"}, "Unsupported type URL"),
        ({"type": "url"}, "malformed service files, missing required keys."),
        ({"type": "localfile"}, "malformed service files, missing required keys."),
        (url_file(method="PUT"), "Unsafe method PUT."),
        (url_file("ftp://e.example/x"), "malformed service files, unusable url."),
        (url_file("file:///etc/passwd"), "malformed service files, unusable url."),
        (url_file("http://[::1"), "malformed service files, unusable url."),
        (url_file("e.example/x"), "malformed service files, unusable url."),
        (url_file(""), "malformed service files, unusable url."),
        (url_file(headers={"A\r\nB": "c"}), "malformed service files, unusable headers."),
        (url_file(headers={"A": "b\r\nHost: c"}), "malformed service files, unusable headers."),
        (url_file(headers={"": "b"}), "malformed service files, unusable headers."),
        (url_file(headers=["A"]), "malformed service files, unusable headers."),
        ({"type": "localfile", "path": "a\0b"}, "malformed service files, unusable path."),
        ({"type": "localfile", "path": ""}, "malformed service files, unusable path."),
    ],
)
def test_what_clients_read(raw: Any, text: str) -> None:
    with pytest.raises(FileObjectInvalid) as caught:
        parse_file(raw)
    assert caught.value.public == text


@pytest.mark.parametrize("method", ["get", "Post", None])
def test_methods_in_any_case(method: str | None) -> None:
    raw = url_file() if method is None else url_file(method=method)
    file = parse_file(raw)
    assert isinstance(file, UrlFile)
    assert file.method == (method or "GET").upper()


@pytest.mark.parametrize("headers", [None, {}, []])
def test_no_headers(headers: Any) -> None:
    file = parse_file(url_file(headers=headers))
    assert isinstance(file, UrlFile)
    assert file.headers == {}


def test_headers_that_are_ours_to_set_are_left_out() -> None:
    given = {"Host": "x", "content-length": "5", "Transfer-Encoding": "chunked", "X-Key": "k"}
    file = parse_file(url_file(headers=given))
    assert isinstance(file, UrlFile)
    assert file.headers == {"X-Key": "k"}


def test_nothing_of_a_file_object_shows() -> None:
    file = parse_file(url_file("https://secret.example/x", headers={"Authorization": "secret"}))
    local = parse_file({"type": "localfile", "path": "secret.csv"})
    for text in (repr(file), str(file), f"{file}", repr(local), repr([file, local])):
        assert "secret" not in text


@pytest.mark.parametrize("wrap", [lambda files: files, lambda files: {"files": files}])
def test_lists_bare_or_wrapped(wrap: Any) -> None:
    files = parse_files(wrap([url_file(), {"type": "localfile", "path": "x"}]))
    assert [type(file) for file in files] == [UrlFile, LocalFile]


@pytest.mark.parametrize("raw", [None, "x", {}, {"files": None}, {"files": {}}, 5])
def test_what_is_no_list_is_malformed(raw: Any) -> None:
    with pytest.raises(AssetMalformed):
        parse_files(raw)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b.csv", "b.csv"),
        ("b.csv", "b.csv"),
        ("/a/b/", "b"),
        ("", "file"),
        ("/", "file"),
        ("/a/..", "file"),
        ("/a/.", "file"),
        ("/a/\0\n\t", "file"),
        ("/a/x\0y\n.csv", "xy.csv"),
        ("/a/\u202egnp.exe", "gnp.exe"),
        ("/a/\ud800x", "x"),
        ("/a/été.csv", "été.csv"),
    ],
)
def test_a_name_is_one_safe_component(path: str, name: str) -> None:
    assert file_name(path) == name


@pytest.mark.parametrize("unit", ["a", "é", "表"])
def test_a_long_name_keeps_its_end(unit: str) -> None:
    name = file_name("/" + unit * 500 + ".csv")
    assert name.endswith(unit + ".csv")
    assert 190 < len(name.encode()) <= 200


def test_an_encoded_slash_does_not_make_a_folder() -> None:
    file = parse_file(url_file("https://e.example/a%2F..%2F..%2Fetc%2Fpasswd"))
    assert file.name == "passwd"


def test_a_service_has_so_many_files_and_no_more() -> None:
    assert len(parse_files([url_file()] * MAX_FILES)) == MAX_FILES
    for listed in ([url_file()] * (MAX_FILES + 1), [None] * 25_000):
        with pytest.raises(TooManyFiles, match=f"has {len(listed)} files; at most {MAX_FILES}"):
            parse_files({"files": listed})
