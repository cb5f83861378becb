"""The section of the dialects file."""

from __future__ import annotations

from typing import Any

import pytest
from gbuilder_samples import settings

from compute.models import Image
from provider.dialects.gbuilder.structure import Model
from provider.dialects.shared.configured import parse
from provider.errors import SettingsInvalid

CHECKSUM = "sha256:" + "0" * 64


def test_what_holds_when_nothing_is_written() -> None:
    found = settings()
    assert (found.mount, found.inputName, found.output) == (
        "/gbuilder",
        "input.jsonl",
        "output.jsonl",
    )
    assert (found.entrypoint, found.parameters, found.maxUploadMB) == ("", None, 100)
    assert (found.model, found.blockOnImmediate) == (Model.ANY, False)


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("a", Image(image="a")),
        ("a/b:1", Image(image="a/b", tag="1")),
        ("host:5000/a:1", Image(image="host:5000/a", tag="1")),
        ("host:5000/a", Image(image="host:5000/a")),
        (f"a@{CHECKSUM}", Image(image="a", checksum=CHECKSUM)),
        (f"a:1@{CHECKSUM}", Image(image="a", tag="1", checksum=CHECKSUM)),
    ],
)
def test_images(text: str, image: Image) -> None:
    assert settings(image=text).image == image


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"image": "A B"}, "name:tag"),
        ({"image": "a:"}, "name:tag"),
        ({"image": "a@sha256:1"}, "name:tag"),
        ({"entrypoint": "sh -c 'x"}, "quotation"),
        ({"inputName": "../x"}, "plain file name"),
        ({"inputName": "a/b"}, "plain file name"),
        ({"inputName": ""}, "plain file name"),
        ({"inputName": "algoCustomData.json"}, "something else of this name"),
        ({"inputName": "stages"}, "something else of this name"),
        ({"output": "/etc/passwd"}, "/data/outputs"),
        ({"output": "../x"}, "/data/outputs"),
        ({"output": "a/../x"}, "/data/outputs"),
        ({"output": "a/"}, "/data/outputs"),
        ({"output": ""}, "/data/outputs"),
        ({"model": "cnn"}, "'ner', 're', 'je' or 'any'"),
        ({"parameters": float("inf")}, "finite"),
        ({"blockOnImmediate": "yes"}, "boolean"),
        ({"maxUploadMB": 0}, "greater than or equal to 1"),
        ({"imagename": "a"}, "imagename"),
    ],
)
def test_mistakes_name_field_and_fix(change: dict[str, Any], text: str) -> None:
    values: dict[str, Any] = {"environment": "small", "image": "a:1"} | change
    lines = "\n".join(f"    {name}: {_yaml(value)}" for name, value in values.items())
    with pytest.raises(SettingsInvalid) as caught:
        parse(f"dialects:\n  gbuilder:\n{lines}\n", "dialects.yaml", {"small"})
    assert f"dialects.gbuilder.{next(iter(change))}" in caught.value.public
    assert text in caught.value.public


@pytest.mark.parametrize("name", ["output.jsonl", "a/b.jsonl", "..a", "a..b", "结果.jsonl"])
def test_outputs(name: str) -> None:
    assert settings(output=name).output == name


def _yaml(value: Any) -> str:
    return (
        ".inf"
        if value == float("inf")
        else (f'"{value}"' if isinstance(value, str) else str(value))
    )
