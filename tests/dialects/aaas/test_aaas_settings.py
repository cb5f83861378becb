"""The section: what it takes, and how its mistakes are told."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from compute.models import Image
from provider.dialects.aaas.settings import AaasSettings
from provider.dialects.shared import configured
from provider.errors import SettingsInvalid

GOOD: dict[str, Any] = {
    "environment": "small",
    "modules": {
        "m": {"a": {"image": "python:3.11"}, "b": {"image": "x/y:1", "environment": "big"}}
    },
}


def parsed(section: dict[str, Any]) -> AaasSettings:
    text = yaml.safe_dump({"dialects": {"aaas": section}})
    found = configured.parse(text, "dialects.yaml", ["small", "big"])["aaas"]
    assert isinstance(found, AaasSettings)
    return found


def algorithm(**fields: Any) -> dict[str, Any]:
    return GOOD | {"modules": {"m": {"a": {"image": "python:3.11", **fields}}}}


def test_a_section() -> None:
    settings = parsed(GOOD)
    assert settings.mount == "/aaas"
    first, second = settings.modules["m"]["a"], settings.modules["m"]["b"]
    assert settings.environment_of(first) == "small"
    assert settings.environment_of(second) == "big"


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("python:3.11", Image(image="python", tag="3.11")),
        ("python", Image(image="python")),
        ("host:5000/a/b:1", Image(image="host:5000/a/b", tag="1")),
        ("a@sha256:" + "0" * 64, Image(image="a", checksum="sha256:" + "0" * 64)),
    ],
)
def test_images(text: str, image: Image) -> None:
    assert parsed(algorithm(image=text)).modules["m"]["a"].image == image


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (algorithm(image="Python 3"), "modules.m.a.image"),
        (algorithm(image="a:"), "modules.m.a.image"),
        (algorithm(image="a@sha256:1"), "modules.m.a.image"),
        (algorithm(entrypoint="sh -c '"), "modules.m.a.entrypoint"),
        (algorithm(environment="none"), "modules.m.a.environment: there is no environment"),
        (algorithm(arguments={"start": {}}), "modules.m.a.arguments"),
        (algorithm(arguments={"t.m.a": {"default": float("nan")}}), "default"),
        (algorithm(code="x"), "modules.m.a.code"),
        (GOOD | {"modules": {}}, "modules"),
        (GOOD | {"modules": {"m": {}}}, "modules.m"),
        (GOOD | {"modules": {"../m": GOOD["modules"]["m"]}}, "modules"),
        (GOOD | {"followers": 0}, "followers"),
    ],
)
def test_mistakes_name_their_place(section: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        parsed(section)
    assert f"dialects.aaas.{told}" in caught.value.public or told in caught.value.public
