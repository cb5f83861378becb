"""Requests of the manual, with the UIDs that it shows."""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]

_COMMON: Json = {
    "access_key": "user1",
    "secret_key": "test",
    "task_name": "test_task",
    "task_description": "test task",
    "pipeline_uid": "37e952be-7cd8-463e-b3da-d28c47ed860c",
    "dataset_uid": "f6fa9ff3-fce4-4790-b050-acb1c9f9a2ce",
    "config_uid": "f258b890-8a15-4f9a-a0e7-c29ad65f4da6",
    "image_uid": {
        "download_uid": "b956f74f-30ab-4b3a-9619-6af34afcf4da",
        "running_uid": "ec8cb77d-a794-45f4-81fb-0c662f27a53c",
        "upload_uid": "476a2f5c-3b03-45b5-b8b1-51bb9891fd9f",
    },
}
_MODEL: Json = {
    "model_name": "demo_model",
    "model_description": "demo model",
    "model_type": "default",
    "model_input_format": "float32",
    "model_output_format": "float32",
    "model_file_extension": "zip",
}
PREPROCESSING: Json = _COMMON | {
    "foreignkey_uid": "e2454e78-5d23-4d5c-be87-ca2a3e679291",
    "type": "project",
    "dataset_name": "demo_training_dataset",
    "dataset_description": "demo dataset",
    "dataset_type": "training",
    "dataset_file_extension": "zip",
}
TRAINING: Json = _COMMON | _MODEL | {"type": "project"}
OPTIMIZATION: Json = (
    _COMMON | _MODEL | {"type": "application", "model_uid": "b4886a75-3e32-48ea-b70d-81273001eee9"}
)


def changed(body: Json, path: str, value: Any) -> Json:
    """A copy with another value at a dotted path; None takes the field away."""
    changed_body = copy.deepcopy(body)
    *folders, name = path.split(".")
    place = changed_body
    for folder in folders:
        place = place[folder]
    if value is None:
        del place[name]
    else:
        place[name] = value
    return changed_body
