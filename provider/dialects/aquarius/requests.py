"""Queries as clients of metadata caches write them, made into those of the index. Pure.

Clients send bodies of a search engine's language, which is far larger than what an index of
documents needs. Understood is what narrows down: conditions that must all hold, on a few
fields, and words to be found. Everything else is refused by name instead of ignored, because
an answer to another question than the one asked is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from provider.assets.ddo import is_did
from provider.assets.index.models import LISTED_STATES, Query
from provider.auth.signatures import is_address
from provider.errors import ProviderError

DEFAULT_SIZE = 10
MAX_SIZE = 100
MAX_FIRST = 10_000
MAX_CLAUSES = 64
MAX_VALUES = 100
MAX_TEXT = 1024

UNLISTED = 5
"""In use but shown only to who knows which asset to ask for."""

_FIELDS = {
    "_id": "dids",
    "id": "dids",
    "chainId": "chain_ids",
    "nftAddress": "nfts",
    "nft.address": "nfts",
    "nft.state": "states",
    "metadata.type": "kinds",
    "services.datatokenAddress": "tokens",
    "datatokens.address": "tokens",
}
_TEXT_FIELDS = frozenset(
    {"metadata.name", "metadata.description", "metadata.author", "metadata.tags"}
)
_SORTED_BY = frozenset({"nft.created", "metadata.created", "created", "_score"})
_UNUSED = frozenset({"track_total_hits", "_source", "explain", "version", "timeout"})
"""Keys that change nothing about which documents are found."""

_PUNCTUATION = re.compile(r"[\"'()*?~^+]")
_OPERATORS = frozenset({"OR", "NOT", "||", "!"})


@dataclass(slots=True)
class _Conditions:
    """What must hold. A field's values are alternatives; None until there is a condition."""

    values: dict[str, frozenset[Any]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    nothing: bool = False
    clauses: int = 0

    def count(self) -> None:
        self.clauses += 1
        if self.clauses > MAX_CLAUSES:
            raise ProviderError("The query has too many clauses.", field="query")

    def narrow(self, name: str, values: frozenset[Any]) -> None:
        held = self.values.get(name)
        self.values[name] = values if held is None else held & values
        self.nothing = self.nothing or not self.values[name]


def query(body: Mapping[str, Any]) -> Query | None:
    """The index's query for a body; None when nothing can meet it.

    Raises ProviderError for what is not understood.
    """
    for name in body:
        if name not in {"query", "text", "from", "size", "sort"} | _UNUSED:
            _refuse(name)
    found = _Conditions()
    if body.get("query") is not None:
        _clause(body["query"], found)
    if body.get("text") is not None:
        _text(body["text"], found)
    if found.nothing:
        return None
    return Query(
        text=" ".join(found.words),
        chain_ids=_values(found, "chain_ids"),
        dids=_values(found, "dids"),
        nfts=_values(found, "nfts"),
        kinds=_values(found, "kinds"),
        tokens=_values(found, "tokens"),
        states=_values(found, "states") or _default_states(found),
        oldest_first=_oldest_first(body.get("sort")),
        first=_whole(body.get("from"), "from", 0, MAX_FIRST),
        size=min(_whole(body.get("size"), "size", DEFAULT_SIZE, 1 << 31), MAX_SIZE),
    )


def _values(found: _Conditions, name: str) -> tuple[Any, ...]:
    return tuple(sorted(found.values.get(name, ())))


def _default_states(found: _Conditions) -> tuple[int, ...]:
    known = found.values.keys() & {"dids", "nfts", "tokens"}
    return (*LISTED_STATES, UNLISTED) if known else LISTED_STATES


def _clause(clause: Any, found: _Conditions) -> None:
    found.count()
    kind, content = _single(clause, "query")
    handler = _HANDLERS.get(kind)
    if handler is None:
        _refuse(kind)
    handler(content, found)


def _all(content: Any, found: _Conditions) -> None:
    if content not in ({}, None):
        _refuse("match_all")


def _bool(content: Any, found: _Conditions) -> None:
    parts = {name: _listed(value) for name, value in _object(content, "bool").items()}
    for clause in parts.pop("must", []) + parts.pop("filter", []):
        _clause(clause, found)
    for clause in parts.pop("must_not", []):
        _excluded(clause, found)
    least = parts.pop("minimum_should_match", [])
    should = parts.pop("should", [])
    if len(should) == 1 and (least == [1] or _is_alone(content)):
        _clause(should[0], found)
    elif should and (least not in ([], [0]) or _is_alone(content)):
        _refuse("bool.should")
    for name in parts:
        _refuse(f"bool.{name}")


def _is_alone(content: Mapping[str, Any]) -> bool:
    """Beside conditions that must hold, ``should`` only ranks what was found."""
    return not content.get("must") and not content.get("filter")


def _excluded(clause: Any, found: _Conditions) -> None:
    """Only what the index has none of anyway."""
    found.count()
    kind, content = _single(clause, "bool.must_not")
    if kind not in {"term", "match"}:
        _refuse(f"bool.must_not.{kind}")
    name, value = _single(content, kind)
    if _plain_name(name) != "purgatory.state" or _scalar(value) not in (True, "true"):
        _refuse("bool.must_not")


def _term(content: Any, found: _Conditions) -> None:
    name, value = _single(content, "term")
    _condition(_plain_name(name), [_scalar(value)], found)


def _terms(content: Any, found: _Conditions) -> None:
    values = dict(_object(content, "terms"))
    values.pop("boost", None)
    name, listed = _single(values, "terms")
    if not isinstance(listed, list) or len(listed) > MAX_VALUES:
        raise ProviderError(f"terms must be a list of at most {MAX_VALUES} values.", field="query")
    _condition(_plain_name(name), listed, found)


def _match(content: Any, found: _Conditions) -> None:
    name, value = _single(content, "match")
    name = _plain_name(name)
    if name in _TEXT_FIELDS:
        _text(_scalar(value), found)
    else:
        _condition(name, [_scalar(value)], found)


def _ids(content: Any, found: _Conditions) -> None:
    _terms({"_id": _object(content, "ids").get("values")}, found)


def _query_string(content: Any, found: _Conditions) -> None:
    options = _object(content, "query_string")
    fields = options.get("fields", options.get("default_field"))
    names = {_plain_name(str(each).partition("^")[0]) for each in _listed(fields) if each != "*"}
    if names and names <= {"id", "_id"}:
        text = options.get("query")
        _condition("_id", [text.replace("\\", "") if isinstance(text, str) else text], found)
    elif names <= _TEXT_FIELDS:
        _text(options.get("query"), found)
    else:
        _refuse(min(names - _TEXT_FIELDS))


_HANDLERS: Mapping[str, Callable[[Any, _Conditions], None]] = {
    "match_all": _all,
    "bool": _bool,
    "term": _term,
    "terms": _terms,
    "match": _match,
    "match_phrase": _match,
    "ids": _ids,
    "query_string": _query_string,
    "simple_query_string": _query_string,
    "multi_match": _query_string,
}


def _condition(name: str, values: list[Any], found: _Conditions) -> None:
    if name == "purgatory.state":
        found.nothing = found.nothing or not {False, "false"} & set(map(_hashable, values))
        return
    target = _FIELDS.get(name)
    if target is None and name in _TEXT_FIELDS and len(values) == 1:
        _text(values[0], found)
    elif target is None:
        _refuse(name)
    else:
        found.narrow(target, frozenset(_fitting(target, values)))


def _fitting(target: str, values: list[Any]) -> Iterator[Any]:
    """Values that the field can have at all."""
    for value in values:
        if target in {"chain_ids", "states"}:
            number = _number(value)
            if number is not None:
                yield number
        elif isinstance(value, str):
            yield from _fitting_text(target, value)


def _fitting_text(target: str, text: str) -> Iterator[str]:
    if target == "kinds":
        yield text.lower()[:MAX_TEXT]
    elif target == "dids" and is_did(text):
        yield text
    elif target in {"nfts", "tokens"} and is_address(text):
        yield text.lower()


def _text(text: Any, found: _Conditions) -> None:
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        message = f"A search text must be a text of at most {MAX_TEXT} characters."
        raise ProviderError(message, field="query")
    for word in _PUNCTUATION.sub(" ", text.replace("\\", "").replace("\0", " ")).split():
        if word in _OPERATORS:
            _refuse(word)
        if is_did(word):
            found.narrow("dids", frozenset({word}))
        elif word not in {"AND", "&&"}:
            found.words.append(word.lower())


def _oldest_first(sort: Any) -> bool:
    orders = [_order(each) for each in _listed(sort)]
    return "asc" in orders[:1]


def _order(entry: Any) -> str:
    name, value = (entry, "desc") if isinstance(entry, str) else _single(entry, "sort")
    if _plain_name(name) not in _SORTED_BY:
        _refuse(f"sort.{name}")
    order = value.get("order", "asc") if isinstance(value, Mapping) else value
    if order not in ("asc", "desc"):
        _refuse("sort.order")
    return "desc" if name == "_score" else str(order)


def _single(value: Any, where: str) -> tuple[str, Any]:
    """Name and content of an object with one key."""
    content = _object(value, where)
    if len(content) != 1:
        raise ProviderError(f"{_shown(where)} must have exactly one key.", field="query")
    return next(iter(content.items()))


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ProviderError(f"{_shown(where)} must be an object.", field="query")
    return value


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _scalar(value: Any) -> Any:
    """``{"value": x}`` and ``{"query": x}`` are long forms of ``x``."""
    if isinstance(value, Mapping):
        return value.get("value", value.get("query"))
    return value


def _hashable(value: Any) -> Any:
    return value if isinstance(value, (str, bool)) else None


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 15:
        return int(value)
    return value if type(value) is int and 0 <= value < 1 << 53 else None


def _whole(value: Any, name: str, default: int, largest: int) -> int:
    if value is None:
        return default
    number = _number(value)
    if number is None or number > largest:
        raise ProviderError(f"{name} must be a whole number up to {largest}.", field=name)
    return number


def _plain_name(name: str) -> str:
    return name.removesuffix(".keyword")


def _refuse(what: str) -> NoReturn:
    raise ProviderError(f"This index does not understand {_shown(what)} in a query.", field="query")


def _shown(text: str) -> str:
    return ascii(text[:60])
