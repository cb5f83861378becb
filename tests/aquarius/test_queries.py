"""Bodies of a search engine's language, as clients send them, and hostile ones."""

from __future__ import annotations

from typing import Any

import pytest
from aquarius_documents import CHAIN, DATATOKEN, NFT, OTHER_NFT
from hypothesis import given
from hypothesis import strategies as st

from provider.assets.index.models import LISTED_STATES, Query
from provider.assets.published import did_of
from provider.dialects.aquarius.requests import (
    MAX_CLAUSES,
    MAX_FIRST,
    MAX_SIZE,
    MAX_TEXT,
    MAX_VALUES,
    query,
)
from provider.errors import ProviderError

DID, OTHER = did_of(NFT, CHAIN), did_of(OTHER_NFT, CHAIN)
ALL_STATES = (*LISTED_STATES, 5)


def term(name: str, value: Any) -> dict[str, Any]:
    return {"term": {name: value}}


def asked(clause: Any) -> Query | None:
    return query({"query": clause})


def both(*clauses: Any) -> Query | None:
    return asked({"bool": {"must": list(clauses)}})


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ({"match_all": {}}, Query()),
        (term("metadata.type", "Dataset"), Query(kinds=("dataset",))),
        (term("metadata.type.keyword", {"value": "dataset"}), Query(kinds=("dataset",))),
        (term("chainId", 8996), Query(chain_ids=(8996,))),
        (term("chainId", "8996"), Query(chain_ids=(8996,))),
        ({"terms": {"chainId": [5, 8996], "boost": 1}}, Query(chain_ids=(5, 8996))),
        ({"terms": {"nft.state": [0, 5]}}, Query(states=(0, 5))),
        (term("_id", DID), Query(dids=(DID,), states=ALL_STATES)),
        ({"ids": {"values": [DID, DID]}}, Query(dids=(DID,), states=ALL_STATES)),
        ({"match": {"id": {"query": DID}}}, Query(dids=(DID,), states=ALL_STATES)),
        (term("nftAddress", NFT), Query(nfts=(NFT.lower(),), states=ALL_STATES)),
        (
            term("services.datatokenAddress", DATATOKEN),
            Query(tokens=(DATATOKEN.lower(),), states=ALL_STATES),
        ),
        ({"match": {"metadata.name": "Rain fall"}}, Query(text="rain fall")),
        ({"match_phrase": {"metadata.tags": "weather"}}, Query(text="weather")),
        ({"query_string": {"query": '"Branin dataset"'}}, Query(text="branin dataset")),
        ({"query_string": {"query": "a AND *b*", "fields": ["*"]}}, Query(text="a b")),
        (
            {"query_string": {"query": "rain", "fields": ["metadata.name^10"]}},
            Query(text="rain"),
        ),
        (
            {"query_string": {"query": DID.replace(":", "\\:"), "default_field": "id"}},
            Query(dids=(DID,), states=ALL_STATES),
        ),
        (
            {"query_string": {"query": DID.replace(":", "\\:")}},
            Query(dids=(DID,), states=ALL_STATES),
        ),
        ({"bool": {"filter": term("chainId", 1)}}, Query(chain_ids=(1,))),
        ({"bool": {"should": [term("chainId", 1)]}}, Query(chain_ids=(1,))),
        ({"bool": {}}, Query()),
        (
            {"bool": {"must": [term("chainId", 1)], "should": [term("x", 1), term("y", 2)]}},
            Query(chain_ids=(1,)),
        ),
        (
            {"bool": {"must_not": [term("purgatory.state", True)], "filter": []}},
            Query(),
        ),
        (term("purgatory.state", False), Query()),
    ],
)
def test_what_narrows_down_is_understood(clause: Any, expected: Query) -> None:
    assert asked(clause) == expected


def test_conditions_all_hold_at_once() -> None:
    assert both(
        {"terms": {"_id": [DID, OTHER]}},
        {"terms": {"_id": [OTHER]}},
        {"bool": {"filter": [term("metadata.type", "algorithm")]}},
        {"match": {"metadata.name": "mean"}},
    ) == Query(text="mean", dids=(OTHER,), kinds=("algorithm",), states=ALL_STATES)


@pytest.mark.parametrize(
    "clause",
    [
        {"bool": {"must": [term("chainId", 1), term("chainId", 2)]}},
        {"terms": {"_id": []}},
        term("_id", "no did"),
        term("nftAddress", "0x12"),
        term("chainId", "x" * 10_000),
        term("chainId", 2**80),
        term("chainId", -1),
        term("chainId", [1]),
        term("purgatory.state", True),
        term("purgatory.state", {"a": {}}),
        {"terms": {"nft.state": [[0], {}, None, True]}},
    ],
)
def test_what_nothing_can_meet_is_never_taken_for_no_condition(clause: Any) -> None:
    assert asked(clause) is None


def test_pages_and_order() -> None:
    asked_for = query({"from": 20, "size": "30", "sort": {"nft.created": "asc"}})
    assert asked_for == Query(first=20, size=30, oldest_first=True)
    assert query({"size": 100_000}) == Query(size=MAX_SIZE)
    assert query({"size": 0}) == Query(size=0)
    for newest in (
        "created",
        [{"metadata.created": {"order": "desc"}}],
        ["_score", {"nft.created": "asc"}],
        {"_score": "asc"},
        [],
    ):
        assert query({"sort": newest}) == Query()


def test_a_text_alone_is_a_query() -> None:
    assert query({"text": "Rain"}) == Query(text="rain")
    assert query({"text": "r\\:a(i)n\0x"}) == Query(text="r:a i n x")


@pytest.mark.parametrize(
    "body",
    [
        {"price": [0, 10]},
        {"aggs": {}},
        {"query": []},
        {"query": "rain"},
        {"query": {}},
        {"query": {"match": {"metadata.name": "a"}, "term": {"chainId": 1}}},
        {"query": {"script": {"source": "1"}}},
        {"query": {"regexp": {"metadata.name": "(a+)+"}}},
        {"query": {"match_all": {"boost": 2}}},
        {"query": {"term": {"nft.owner": "0x1"}}},
        {"query": {"term": {"stats.orders": 1}}},
        {"query": {"term": ["chainId", 1]}},
        {"query": {"term": {}}},
        {"query": {"terms": {"_id": DID}}},
        {"query": {"terms": {"_id": [DID] * (MAX_VALUES + 1)}}},
        {"query": {"terms": {"metadata.name": ["a", "b"]}}},
        {"query": {"ids": {}}},
        {"query": {"ids": [DID]}},
        {"query": {"query_string": {"query": "a OR b"}}},
        {"query": {"query_string": {"query": ["a"]}}},
        {"query": {"query_string": {"query": "a", "fields": ["services.files"]}}},
        {"query": {"query_string": {"query": "a", "fields": [1, {}]}}},
        {"query": {"match": {"metadata.name": "a" * (MAX_TEXT + 1)}}},
        {"query": {"bool": []}},
        {"query": {"bool": {"must": ["x"]}}},
        {"query": {"bool": {"should": [{"match_all": {}}, {"match_all": {}}]}}},
        {
            "query": {
                "bool": {
                    "must": [term("chainId", 1)],
                    "should": [term("chainId", 1), term("chainId", 2)],
                    "minimum_should_match": 1,
                }
            }
        },
        {"query": {"bool": {"must_not": [term("chainId", 1)]}}},
        {"query": {"bool": {"must_not": [{"match_all": {}}]}}},
        {"query": {"bool": {"must_not": [term("purgatory.state", False)]}}},
        {"query": {"bool": {"nonsense": 1}}},
        {"query": {"bool": {"must": [{"match_all": {}}] * (MAX_CLAUSES + 1)}}},
        {"text": 1},
        {"from": -1},
        {"from": MAX_FIRST + 1},
        {"from": True},
        {"size": 1.5},
        {"size": "ten"},
        {"sort": {"stats.orders": "desc"}},
        {"sort": {"nft.created": "up"}},
        {"sort": {"nft.created": {"order": ["asc"]}}},
        {"sort": 5},
        {"x\ud800" * 100: 1},
    ],
)
def test_what_is_not_understood_is_refused_shortly(body: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as caught:
        query(body)
    assert caught.value.status == 400
    assert len(caught.value.public) < 500
    assert caught.value.public.isascii()


@pytest.mark.parametrize("part", ["must", "filter", "must_not"])
def test_clauses_are_counted_wherever_they_stand(part: str) -> None:
    clause = term("purgatory.state", part == "must_not")
    fitting = {"bool": {part: [clause] * (MAX_CLAUSES - 1)}}
    assert asked(fitting) == Query()
    with pytest.raises(ProviderError, match="too many clauses"):
        asked({"bool": {"must": [fitting], "filter": [{"match_all": {}}]}})


_NAMES = st.sampled_from(
    [
        "query",
        "bool",
        "must",
        "filter",
        "should",
        "must_not",
        "term",
        "terms",
        "match",
        "ids",
        "values",
        "query_string",
        "fields",
        "_id",
        "chainId",
        "nft.state",
        "metadata.type",
        "metadata.name",
        "purgatory.state",
        "from",
        "size",
        "sort",
        "text",
    ]
)
_BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | _NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(_NAMES, _BODIES, max_size=4))
def test_any_body_gives_a_query_or_a_refusal(body: dict[str, Any]) -> None:
    try:
        found = query(body)
    except ProviderError:
        return
    assert found is None or (0 <= found.first <= MAX_FIRST and 0 <= found.size <= MAX_SIZE)
