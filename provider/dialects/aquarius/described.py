"""The metadata cache's API as its document describes it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from provider.dialects.aquarius.requests import MAX_FIRST, MAX_SIZE, MAX_TEXT
from provider.dialects.ocean.described import ALWAYS, REFUSALS
from provider.dialects.ocean.shapes import Refusal as Refused
from provider.openapi.operations import JSON, Answer, Api, Body, Operation, shape

TAG: Final = "metadata"

_DID: Final = "did:op:" + "d1" * 32
_FOUND: Final = {"hits": {"total": {"value": 0, "relation": "eq"}, "hits": []}}
_QUERY: Final = {
    "query": {"bool": {"filter": [{"terms": {"chainId": [8996]}}]}},
    "from": 0,
    "size": 10,
}
_DOCUMENT: Final = {"@context": ["https://w3id.org/did/v1"], "id": _DID, "version": "4.1.0"}


@shape
class DidPath(TypedDict):
    did: Annotated[str, Field(min_length=1, pattern="^[^/]+$", examples=[_DID])]
    """The asset's DID."""


@shape
class NotFound(TypedDict):
    """Clients look for this very text."""

    error: str
    problem: NotRequired[str]
    """Why an asset that is on chain cannot be shown."""


Query = TypedDict(
    "Query",
    {
        "query": Annotated[
            dict[str, Any] | None,
            Field(
                description="Conditions that must all hold: `match_all`, `bool` (`must`, `filter`,"
                " `must_not` of purgatory), `term`, `terms`, `match`, `ids`, `query_string`, on"
                " ids, chains, NFTs, states, types, tokens and texts. All else is refused by name."
            ),
        ],
        "text": Annotated[str | None, Field(max_length=MAX_TEXT, description="Words to be found.")],
        "from": Annotated[int, Field(ge=0, le=MAX_FIRST, description="How many to leave out.")],
        "size": Annotated[
            int, Field(ge=0, le=1 << 31, description=f"How many to show; {MAX_SIZE} at most.")
        ],
        "sort": Annotated[
            dict[str, Any] | list[Any] | str | None,
            Field(description='By time: `{"nft.created": "desc"}`.'),
        ],
    },
    total=False,
)
"""In the language of a search engine, of which what narrows down is understood."""


@shape
class Total(TypedDict):
    value: int
    relation: Literal["eq"]


class Hit(TypedDict):
    _id: str | None
    _source: dict[str, Any]


"""An asset and its document."""


@shape
class Found(TypedDict):
    total: Total
    hits: list[Hit]


@shape
class Hits(TypedDict):
    """What was found."""

    hits: Found


@shape
class DocumentFault(TypedDict):
    path: str
    """Where in the document."""
    message: str


@shape
class Faults(TypedDict):
    """What is wrong with a document."""

    errors: list[DocumentFault]


@shape
class Proof(TypedDict):
    """A signature of the provider's wallet over a document's hash."""

    hash: str
    publicKey: str
    """The wallet's address."""
    v: int
    r: Annotated[list[str], Field(min_length=1, max_length=1)]
    s: Annotated[list[str], Field(min_length=1, max_length=1)]


def api(section: object = None) -> Api:
    """The API; it has no section."""
    missing = Answer(
        "No such asset was published, or its document cannot be shown.",
        {JSON: NotFound},
        example={"error": f"Asset DID {_DID} not found in Elasticsearch"},
    )
    return Api(
        tags={TAG: "What was published on the chains that are followed (a metadata cache)."},
        operations=[
            Operation(
                "GET",
                "/api/aquarius/assets/ddo/{did}",
                "assetDocument",
                "An asset's document",
                "As it was published, without file objects that were left unsealed. Of an asset"
                " that was withdrawn only what the chain tells.",
                {200: Answer("The document.", {JSON: dict[str, Any]}, example=_DOCUMENT)}
                | {404: missing},
                path_values=DidPath,
                refusals=(),
            ),
            Operation(
                "GET",
                "/api/aquarius/assets/metadata/{did}",
                "assetMetadata",
                "The metadata of an asset's document",
                "Name, description, author and what else the document has under `metadata`.",
                {200: Answer("The metadata.", {JSON: Any})} | {404: missing},
                path_values=DidPath,
                refusals=(),
            ),
            Operation(
                "POST",
                "/api/aquarius/assets/ddo/validate",
                "validateDocument",
                "Check a document before it is published",
                "A proof for a document that is fit, else all of its faults. The body is the"
                " document, whatever its media type.",
                {
                    200: Answer("The proof.", {JSON: Proof}),
                    400: Answer("The faults.", {JSON: Faults | Refused}),
                },
                body=Body({JSON: dict[str, Any]}, {"document": _DOCUMENT}),
                refusals=(),
            ),
            Operation(
                "POST",
                "/api/aquarius/assets/query",
                "queryAssets",
                "Search what was published",
                "Conditions that must all hold, and words to be found. What is not understood is"
                " refused by name.",
                {200: Answer("What was found.", {JSON: Hits}, example=_FOUND)},
                body=Body({JSON: Query}, {"of one chain": _QUERY}),
            ),
        ],
        refusals=REFUSALS,
        always=ALWAYS,
    )
