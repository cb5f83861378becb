"""File objects: what a publisher says about where a file's bytes are.

These hold the secret that a provider keeps, so nothing of them shows in a repr, and the
errors about them name keys, never values. Served here: ``url``, and ``localfile`` for
data that lies on the provider's own machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from provider.errors import AssetMalformed, FileObjectInvalid

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
OUR_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
MAX_NAME_BYTES = 200
FALLBACK_NAME = "file"


def _proper_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise ValueError("malformed header")
    return {name: value for name, value in headers.items() if name.lower() not in OUR_HEADERS}


def _proper_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("malformed") from None
    if parts.scheme.lower() not in {"http", "https"} or not parts.netloc:
        raise ValueError("not http or https")
    return url


def _proper_path(path: str) -> str:
    if "\0" in path:
        raise ValueError("malformed path")
    return path


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _nothing_is_no_headers(value: Any) -> Any:
    return value or {}


class Secret(BaseModel):
    """Base of file objects: unknown keys are ignored, values never show."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class UrlFile(Secret):
    """A file behind HTTP. ``headers`` are sent to the URL's own origin only."""

    type: Literal["url"]
    url: Annotated[str, Field(min_length=1, max_length=16384), AfterValidator(_proper_url)]
    method: Annotated[Literal["GET", "POST"], BeforeValidator(_upper)] = "GET"
    headers: Annotated[
        dict[str, str], BeforeValidator(_nothing_is_no_headers), AfterValidator(_proper_headers)
    ] = {}

    @property
    def name(self) -> str:
        """The file's name: the last segment of the URL's path."""
        return file_name(unquote(urlsplit(self.url).path))


class LocalFile(Secret):
    """A file below the provider's data folder; ``path`` is relative to it, or absolute."""

    type: Literal["localfile", "file"]
    path: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_proper_path)]

    @property
    def name(self) -> str:
        return file_name(self.path)


FileObject = UrlFile | LocalFile
MODELS: Mapping[str, type[UrlFile] | type[LocalFile]] = {
    "url": UrlFile,
    "localfile": LocalFile,
    "file": LocalFile,
}


def file_name(path: str) -> str:
    """One safe path component made from the last segment of ``path``, at most 200 bytes."""
    last = path.rstrip("/").rsplit("/", 1)[-1]
    clean = "".join(each for each in last if not unicodedata.category(each).startswith("C"))
    clean = clean.encode("utf-8", "replace")[-MAX_NAME_BYTES:].decode("utf-8", "ignore")
    return FALLBACK_NAME if clean.strip(". ") == "" else clean


def parse_file(raw: Any) -> FileObject:
    """One file object. Raises FileObjectInvalid with the texts that clients know."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("type"), str):
        raise FileObjectInvalid("malformed file object.")
    model = MODELS.get(raw["type"])
    if model is None:
        raise FileObjectInvalid(f"Unsupported type {file_name(raw['type'])[:40]}")
    try:
        return model.model_validate(dict(raw))
    except ValidationError as error:
        message = _explained(raw, error)
    raise FileObjectInvalid(message)


def _explained(raw: Mapping[str, Any], error: ValidationError) -> str:
    keys = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
    if "method" in keys:
        return f"Unsafe method {file_name(str(raw.get('method')))[:20]}."
    if keys & {"url", "path"} - raw.keys():
        return "malformed service files, missing required keys."
    return f"malformed service files, unusable {', '.join(sorted(keys)) or 'object'}."


def parse_files(raw: Any) -> list[FileObject]:
    """A list of file objects, bare or under ``files``. Raises AssetMalformed when it is
    neither, FileObjectInvalid for one of its members."""
    listed = raw.get("files") if isinstance(raw, Mapping) else raw
    if not isinstance(listed, list):
        raise AssetMalformed("malformed service files, missing required keys.")
    return [parse_file(each) for each in listed]
