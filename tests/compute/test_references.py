"""Whose image a name means, and what is no name."""

from __future__ import annotations

import pytest

from compute import references

GOOD_NAMES = [
    "python",
    "library/python",
    "oceanprotocol/algo_dockers",
    "ghcr.io/acme/a.b-c__d/e",
    "localhost:5000/x",
    "Registry.Example:443/x",
    "python:5000/evil",
    "a--b",
]
BAD_NAMES = [
    "",
    "-x",
    "--privileged",
    "UPPER",
    "lab/Python",
    "registry.example/Team/x",
    "a b",
    "a\nb",
    "../etc",
    "a/../b",
    "/a",
    "a/",
    "a//b",
    "a..b",
    "a___b",
    "a_",
    "a:b",
    "a:5000",
    "a/b:5000/c",
    "a@sha256:" + "0" * 64,
    "http://x/y",
    "x@y/z",
    "[::1]:5000/x",
    "x?tag=1",
    "x#y",
    "ü",
    "a" * 256,
    "sha256",
    "0" * 64,
    "host:port/x",
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_of_repositories_pass(name: str) -> None:
    assert references.is_name(name)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_other_names_do_not(name: str) -> None:
    assert not references.is_name(name)


@pytest.mark.parametrize(
    ("name", "host", "path"),
    [
        ("python", "", "python"),
        ("lab/python", "", "lab/python"),
        ("docker.io/lab/python", "", "lab/python"),
        ("index.docker.io/python", "", "python"),
        ("docker.io/registry.example/x", "", "registry.example/x"),
        ("registry.example/x", "registry.example", "x"),
        ("localhost/x", "localhost", "x"),
        ("python:5000/evil", "python:5000", "evil"),
        ("127.0.0.1:1/a/b", "127.0.0.1:1", "a/b"),
        ("Host/x", "Host", "x"),
        ("docker.io:443/x", "docker.io:443", "x"),
        ("a.b", "", "a.b"),
    ],
)
def test_the_first_part_is_a_host_or_not(name: str, host: str, path: str) -> None:
    assert references.split(name) == (host, path)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("library/python", "python"),
        ("docker.io/library/python", "python"),
        ("library/a/b", "library/a/b"),
        ("lab/library/x", "lab/library/x"),
    ],
)
def test_docker_hubs_own_images_have_a_short_name(name: str, path: str) -> None:
    assert references.familiar(name) == ("", path)


def test_library_is_an_ordinary_word_elsewhere() -> None:
    assert references.familiar("registry.example/library/x") == ("registry.example", "library/x")
