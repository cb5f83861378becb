"""The request bodies of the wire, by the names of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provider.dialects.pipelines.credentials import Credentials
from provider.dialects.pipelines.fields import Fields
from provider.dialects.pipelines.model import (
    MANNERS,
    PREPARED,
    SEQUENCES,
    RunCall,
    TaskKind,
    Wish,
)
from provider.registry.models import Kind

Values = Mapping[str, Any]

MODEL_TYPES = ("default",)


def credentials(values: Values) -> Credentials:
    """Raises FieldInvalid."""
    fields = Fields(values)
    return Credentials(fields.secret("access_key"), fields.secret("secret_key"))


def run(kind: TaskKind, values: Values) -> RunCall:
    """Raises FieldInvalid."""
    fields, manner = Fields(values), MANNERS[kind]
    images = fields.inner("image_uid")
    return RunCall(
        kind=kind,
        name=fields.text("task_name"),
        description=fields.description("task_description"),
        pipeline_uid=fields.uid("pipeline_uid"),
        dataset_uid=fields.uid("dataset_uid"),
        type=fields.choice("type", manner.takes),
        config_uid=fields.uid("config_uid"),
        images={each: images.uid(f"{each}_uid") for each in SEQUENCES},
        model_uid=fields.uid("model_uid") if kind is TaskKind.RETRAIN else "",
        wish=_dataset(fields) if manner.makes is Kind.DATASET else _model(fields),
    )


def task(values: Values) -> str:
    """The UID of the task that is asked about. Raises FieldInvalid."""
    return Fields(values).uid("uid")


def log(values: Values) -> tuple[str, TaskKind]:
    """Raises FieldInvalid."""
    fields = Fields(values)
    uid = fields.uid("task_uid")
    return uid, TaskKind(fields.choice("type", [kind.value for kind in TaskKind]))


def deletion(values: Values) -> str:
    """The UID of the task whose work is to end. Raises FieldInvalid."""
    return Fields(values).uid("task_uid")


def of_pipeline(values: Values) -> str:
    """The pipeline that is asked about: clients call it either way. Raises FieldInvalid."""
    fields = Fields(values)
    return fields.uid("f_pipeline_uid" if fields.has("f_pipeline_uid") else "pipeline_uid")


def _dataset(fields: Fields) -> Wish:
    return Wish(
        name=fields.text("dataset_name"),
        description=fields.description("dataset_description"),
        extension=fields.extension("dataset_file_extension"),
        details={"type": fields.choice("dataset_type", PREPARED)},
    )


def _model(fields: Fields) -> Wish:
    return Wish(
        name=fields.text("model_name"),
        description=fields.description("model_description"),
        extension=fields.extension("model_file_extension"),
        details={
            "type": fields.choice("model_type", MODEL_TYPES),
            "input_format": fields.text("model_input_format"),
            "output_format": fields.text("model_output_format"),
        },
    )
