"""File objects: what a publisher says about where a file's bytes are.

These hold the secret that a provider keeps, so nothing of them shows in a repr, and the
errors about them name keys, never values. Keys and texts are those that clients of the
API know; ``s3`` is spelt as Ocean Node spells it, and ``localfile`` is for data that lies
on the provider's own machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from provider import bounded_json
from provider.assets.origins.base import file_name
from provider.auth.signatures import is_address
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
MAX_FILES = 1000
"""Of one service: each may cost a request to its origin."""

MISSING = "malformed service files, missing required keys."
MISSING_KEYS = {
    ("arweave", "transactionId"): "malformed service files, missing transactionId.",
    ("graphql", "url"): "missing graphql endpoint",
    ("graphql", "query"): "missing graphql query",
    ("smartcontract", "address"): "malformed smartcontract type, missing contract address",
    ("smartcontract", "abi"): "invalid abi",
}
_KNOWN_TEXT = "known_text"


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


def _proper_hash(text: str) -> str:
    if any(segment in {".", ".."} for segment in text.split("/")):
        raise ValueError("malformed path")
    return text


def _proper_address(text: str) -> str:
    if not is_address(text):
        raise ValueError("no address")
    return text.lower()


def _proper_function(value: Any) -> Any:
    """One fragment of a JSON ABI, as an object or as its text."""
    fragment = _decoded(value) if isinstance(value, str) else value
    if not isinstance(fragment, Mapping) or fragment.get("type", "function") != "function":
        raise PydanticCustomError(_KNOWN_TEXT, "invalid abi")
    if fragment.get("stateMutability") not in ("view", "pure"):
        raise PydanticCustomError(_KNOWN_TEXT, "only view or pure functions are allowed")
    if not isinstance(fragment.get("name"), str) or not fragment["name"]:
        raise PydanticCustomError(_KNOWN_TEXT, "missing name")
    if not _are_named(fragment.get("inputs")):
        raise PydanticCustomError(_KNOWN_TEXT, "Missing parameters")
    return fragment


def _decoded(text: str) -> Any:
    try:
        return bounded_json.loads(text)
    except ValueError:
        return None


def _are_named(inputs: Any) -> bool:
    return isinstance(inputs, list) and all(
        isinstance(each, Mapping) and isinstance(each.get("name"), str) for each in inputs
    )


def _with_scheme(value: Any) -> Any:
    return f"https://{value}" if isinstance(value, str) and value and "://" not in value else value


def _nothing_is_none(value: Any) -> Any:
    return value or None


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _nothing_is_no_headers(value: Any) -> Any:
    return value or {}


class TooManyFiles(AssetMalformed):
    """A service has more files than are served of one."""


class Secret(BaseModel):
    """Base of file objects: unknown keys are ignored, values never show."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


Headers = Annotated[
    dict[str, str], BeforeValidator(_nothing_is_no_headers), AfterValidator(_proper_headers)
]
WebUrl = Annotated[str, Field(min_length=1, max_length=16384), AfterValidator(_proper_url)]


class UrlFile(Secret):
    """A file behind HTTP. ``headers`` are sent to the URL's own origin only."""

    type: Literal["url"]
    url: WebUrl
    method: Annotated[Literal["GET", "POST"], BeforeValidator(_upper)] = "GET"
    headers: Headers = {}

    @property
    def name(self) -> str:
        """The file's name: the last segment of the URL's path."""
        return file_name(unquote(urlsplit(self.url).path))


class IpfsFile(Secret):
    """Content of IPFS by its identifier, which may be followed by a path in a folder.

    Whoever knows the identifier has the content, so it is no name to show.
    """

    type: Literal["ipfs"]
    hash: Annotated[
        str,
        Field(max_length=1024, pattern=r"^[A-Za-z0-9]{1,128}(/[^/\x00-\x1f\x7f]+)*$"),
        AfterValidator(_proper_hash),
    ]
    headers: Headers = {}

    @property
    def name(self) -> str:
        _, slash, path = self.hash.partition("/")
        return file_name(path) if slash else ""


class ArweaveFile(Secret):
    """A transaction's data on Arweave. Its id is no name to show either."""

    type: Literal["arweave"]
    transactionId: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    headers: Headers = {}
    name: ClassVar[str] = ""


class GraphqlFile(Secret):
    """The answer of a GraphQL server; what a consumer gives are the query's variables."""

    type: Literal["graphql"]
    url: WebUrl
    query: Annotated[str, Field(min_length=1, max_length=65536)]
    headers: Headers = {}
    name: ClassVar[str] = ""


class ContractFile(Secret):
    """What a view of a contract answers; ``abi`` is that one function's fragment. Without
    ``chainId`` the contract is on the asset's chain."""

    type: Literal["smartcontract"]
    address: Annotated[str, AfterValidator(_proper_address)]
    chainId: Annotated[int, Field(ge=1, le=1 << 62)] | None = None
    abi: Annotated[dict[str, Any], BeforeValidator(_proper_function)]
    name: ClassVar[str] = ""


class S3Access(Secret):
    """Where an object lies in a store that speaks S3, and the key that may read it."""

    endpoint: Annotated[
        Annotated[str, Field(max_length=1024), AfterValidator(_proper_url)] | None,
        BeforeValidator(_with_scheme),
        BeforeValidator(_nothing_is_none),
    ] = None
    region: Annotated[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,40}$")] | None,
        BeforeValidator(_nothing_is_none),
    ] = None
    bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$")]
    objectKey: Annotated[
        str,
        Field(min_length=1, max_length=1024),
        AfterValidator(_proper_path),
        AfterValidator(_proper_hash),
    ]
    accessKeyId: Annotated[str, Field(pattern=r"^[!-.0-~]{1,256}$")]
    secretAccessKey: Annotated[str, Field(pattern=r"^[!-~]{1,1024}$")]
    forcePathStyle: bool = False


class S3File(Secret):
    """An object of a store that speaks S3."""

    type: Literal["s3"]
    s3Access: S3Access

    @property
    def name(self) -> str:
        return file_name(self.s3Access.objectKey)


class LocalFile(Secret):
    """A file below the provider's data folder; ``path`` is relative to it, or absolute."""

    type: Literal["localfile", "file"]
    path: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_proper_path)]

    @property
    def name(self) -> str:
        return file_name(self.path)


FileObject = UrlFile | IpfsFile | ArweaveFile | GraphqlFile | ContractFile | S3File | LocalFile
MODELS: Mapping[str, type[FileObject]] = {
    "url": UrlFile,
    "ipfs": IpfsFile,
    "arweave": ArweaveFile,
    "graphql": GraphqlFile,
    "smartcontract": ContractFile,
    "s3": S3File,
    "localfile": LocalFile,
    "file": LocalFile,
}


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
    faults = error.errors()
    kinds = {fault["type"]: fault["msg"] for fault in faults}
    keys = sorted({str(fault["loc"][0]) for fault in faults if fault["loc"]})
    if "method" in keys:
        return f"Unsafe method {file_name(str(raw.get('method')))[:20]}."
    for key in keys:
        if (raw["type"], key) in MISSING_KEYS and not raw.get(key):
            return MISSING_KEYS[raw["type"], key]
    if "missing" in kinds or (raw["type"] == "ipfs" and not raw.get("hash")):
        return MISSING
    if _KNOWN_TEXT in kinds:
        return kinds[_KNOWN_TEXT]
    return f"malformed service files, unusable {', '.join(keys) or 'object'}."


def parse_files(raw: Any) -> list[FileObject]:
    """A list of file objects, bare or under ``files``. Raises AssetMalformed when it is
    neither, TooManyFiles beyond ``MAX_FILES``, FileObjectInvalid for one of its members."""
    listed = raw.get("files") if isinstance(raw, Mapping) else raw
    if not isinstance(listed, list):
        raise AssetMalformed(MISSING)
    if len(listed) > MAX_FILES:
        raise TooManyFiles(
            f"This service has {len(listed)} files; at most {MAX_FILES} are served of one."
        )
    return [parse_file(each) for each in listed]
