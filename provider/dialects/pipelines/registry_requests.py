"""What is handed in to the registry, by the names of the form's fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from provider.dialects.pipelines.fields import Fields
from provider.dialects.pipelines.model import APPLICATION, PREPARED, PROJECT, SEQUENCES
from provider.dialects.pipelines.requests import MODEL_TYPES
from provider.registry.models import Item, Kind, new_uid

DATASET_TYPES = (PROJECT, APPLICATION, *PREPARED)
DOCKERFILE = "dockerfile"
_AS_DOCKERFILE = frozenset({"", DOCKERFILE, "txt"})
_BUILDABLE = (DOCKERFILE, "txt", "zip")


def item(kind: Kind, values: Mapping[str, Any], *, space: str, owner: str, now: float) -> Item:
    """A new item, as yet without content. Raises FieldInvalid."""
    fields = Fields(values)
    return Item(
        uid=fields.uid("uid") if fields.has("uid") else new_uid(),
        kind=kind,
        space=space,
        owner=owner,
        name=fields.text("name"),
        description=fields.description("description"),
        created_at=now,
        pipeline_uid="" if kind is Kind.PIPELINE else pipeline(fields),
        extension=_extension(kind, fields),
        details=_DETAILS[kind](fields),
    )


def pipeline(fields: Fields) -> str:
    """Where an item belongs; the field has two names. Raises FieldInvalid."""
    return fields.uid("f_pipeline_uid" if fields.has("f_pipeline_uid") else "pipeline_uid")


def is_dockerfile(build_file: Item) -> bool:
    """Else it is a zip with one."""
    return build_file.extension in _AS_DOCKERFILE


def _extension(kind: Kind, fields: Fields) -> str:
    if kind is Kind.PIPELINE:
        return ""
    if kind is not Kind.BUILD_FILE:
        return fields.extension("extension")
    return fields.choice("extension", _BUILDABLE) if fields.has("extension") else ""


def _nothing(fields: Fields) -> dict[str, str]:
    return {}


def _dataset(fields: Fields) -> dict[str, str]:
    return {"type": fields.choice("type", DATASET_TYPES)}


def _build_file(fields: Fields) -> dict[str, str]:
    return {"sequence": fields.choice("sequence", SEQUENCES)}


def _model(fields: Fields) -> dict[str, str]:
    return {
        "type": fields.choice("type", MODEL_TYPES) if fields.has("type") else MODEL_TYPES[0],
        "input_format": fields.text("input_format"),
        "output_format": fields.text("output_format"),
    }


_DETAILS: Mapping[Kind, Callable[[Fields], dict[str, str]]] = {
    Kind.PIPELINE: _nothing,
    Kind.CONFIG: _nothing,
    Kind.DATASET: _dataset,
    Kind.BUILD_FILE: _build_file,
    Kind.MODEL: _model,
}
