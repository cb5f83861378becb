"""``dialects.yaml``: which further job APIs are served, where, and for whom.

The file is read once at start. Each mistake is told with file, field and fix, all of them at
once. A dialect's package is imported only if the file has its section.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from compute import yaml_files
from compute.yaml_files import YamlInvalid
from provider.dialects.shared.sections import DialectSection
from provider.errors import SettingsInvalid

if TYPE_CHECKING:
    from provider.dialects.aaas.settings import AaasSettings
    from provider.dialects.gbuilder.settings import GBuilderSettings
    from provider.dialects.labelling.settings import LabellingSettings
    from provider.dialects.pipelines.settings import PipelinesSettings

Kind = Callable[[], type[DialectSection]]
"""Imports and gives the model of a section."""


def _kind(dialect: str, model: str) -> Kind:
    def imported() -> type[DialectSection]:
        settings = importlib.import_module(f"provider.dialects.{dialect}.settings")
        section: type[DialectSection] = getattr(settings, model)
        return section

    return imported


KINDS: Mapping[str, Kind] = {
    "gbuilder": _kind("gbuilder", "GBuilderSettings"),
    "pipelines": _kind("pipelines", "PipelinesSettings"),
    "labelling": _kind("labelling", "LabellingSettings"),
    "aaas": _kind("aaas", "AaasSettings"),
}


@dataclass(frozen=True, slots=True)
class Dialects:
    """The sections of the file; None for a dialect that is not served."""

    gbuilder: GBuilderSettings | None = None
    pipelines: PipelinesSettings | None = None
    labelling: LabellingSettings | None = None
    aaas: AaasSettings | None = None

    def sections(self) -> Mapping[str, DialectSection]:
        """Those that are served, by name."""
        found = {name: getattr(self, name) for name in KINDS}
        return {name: section for name, section in found.items() if section is not None}


def load(path: Path | None, environments: Collection[str]) -> Dialects:
    """Read and check the file; without one no dialect is served. ``environments`` are the ids
    that sections may name. Raises SettingsInvalid."""
    if path is None:
        return Dialects()
    try:
        text = yaml_files.read_text(path)
    except YamlInvalid as error:
        raise SettingsInvalid(f"DIALECTS_FILE: {path}: {error}; name the file there") from None
    sections: dict[str, Any] = {**parse(text, str(path), environments)}
    return Dialects(**sections)


def parse(
    text: str, name: str, environments: Collection[str], kinds: Mapping[str, Kind] = KINDS
) -> Mapping[str, DialectSection]:
    """The sections of a file's text; ``name`` is used in error texts. Raises SettingsInvalid."""
    try:
        document = yaml_files.parse(text)
    except YamlInvalid as error:
        raise SettingsInvalid(f"{name}: {error}") from None
    sections: dict[str, DialectSection] = {}
    mistakes = list(_checked(document, kinds, sections))
    mistakes += _unknown_environments(sections, environments)
    mistakes += _shared_mounts(sections)
    if mistakes:
        raise SettingsInvalid("\n".join(f"{name}: {mistake}" for mistake in mistakes))
    return sections


def _checked(
    document: Any, kinds: Mapping[str, Kind], sections: dict[str, DialectSection]
) -> Iterator[str]:
    """The mistakes of each section; those that have none are added to ``sections``."""
    if not isinstance(document, dict) or not isinstance(document.get("dialects"), dict):
        yield "the top level must be `dialects:` with sections below it"
        return
    for field in document:
        if field == "dialects":
            continue
        yield f"{field}: is no field of this file; remove it or correct its spelling"
    for dialect, given in document["dialects"].items():
        if dialect not in kinds:
            known = ", ".join(kinds)
            yield f"dialects.{dialect}: is no dialect; write one of {known}, or remove it"
            continue
        try:
            sections[dialect] = kinds[dialect]().model_validate({} if given is None else given)
        except ValidationError as error:
            for line in yaml_files.explained(error, given, ""):
                yield f"dialects.{dialect}{'' if line.startswith(':') else '.'}{line}"


def _unknown_environments(
    sections: Mapping[str, DialectSection], environments: Collection[str]
) -> Iterator[str]:
    known = ", ".join(environments)
    for dialect, section in sections.items():
        for field, environment in section.named_environments().items():
            if environment not in environments:
                yield (
                    f"dialects.{dialect}.{field}: there is no environment {environment!r};"
                    f" write one of environments.yaml: {known}"
                )


def _shared_mounts(sections: Mapping[str, DialectSection]) -> Iterator[str]:
    """Paths of different dialects differ, so several may be at the root, where unchanged
    clients look for them; any other mount belongs to one."""
    taken: dict[str, str] = {}
    for dialect, section in sections.items():
        first = taken.setdefault(section.mount, dialect)
        if first != dialect and section.mount != "/":
            yield f"dialects.{dialect}.mount: {section.mount} is that of {first}; write another"
