"""Functions of foreign contracts: from an ABI fragment to call data, and from bytes to values.

Fragment and contract are a publisher's, so both are hostile. A few hundred bytes can name
a type that decodes to gigabytes (arrays of arrays whose pointers all lead to the same
place, arrays of things that take no room), so types are bounded before anything is decoded,
and an answer is only as long as its type lets it be, were all its parts the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provider.auth.keccak import keccak256
from provider.auth.signatures import is_address
from provider.chain.encoding import decode, encode
from provider.errors import CallRefused

MAX_DECODED = 8 << 20
MAX_VALUES = 16_384
"""Numbers, texts and so on in a result: others go through them on the event loop."""
MAX_TEXT = 1 << 20
"""Characters and bytes of all of them together."""
MAX_PARAMETERS = 32
MAX_FIXED = 256
MAX_NESTING = 2
"""Levels of dynamic types within one another: ``string[]`` has two."""

_WORD = 32
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,127}", re.ASCII)
_TYPE = re.compile(
    r"(?P<base>u?int(?P<bits>[0-9]{1,3})?|bytes(?P<size>[0-9]{1,2})?|address|bool|string|tuple)"
    r"(?P<dims>(?:\[[0-9]{0,3}\]){0,3})",
    re.ASCII,
)
_NUMBER = re.compile(r"-?(?:0x[0-9a-fA-F]{1,64}|[0-9]{1,78})", re.ASCII)
_REFUSED = "This contract function cannot be read: "


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of the ABI: a plain one, or a tuple of ``parts``, in arrays of ``dims``
    (None where the length is open), the innermost first."""

    base: str
    dims: tuple[int | None, ...] = ()
    parts: tuple[Kind, ...] = ()

    @property
    def text(self) -> str:
        """As it stands in a function's signature."""
        inner = f"({','.join(part.text for part in self.parts)})" if self.parts else self.base
        return inner + "".join("[]" if size is None else f"[{size}]" for size in self.dims)

    @property
    def nesting(self) -> int:
        """How many dynamic types lie within one another."""
        inner = max((part.nesting for part in self.parts), default=0)
        return inner + (self.base in {"string", "bytes"}) + self.dims.count(None)

    @property
    def words(self) -> int:
        """How many values a fixed part of this type holds."""
        count = sum(part.words for part in self.parts) or 1
        for size in self.dims:
            count *= size or 1
        return count


@dataclass(frozen=True, slots=True)
class Function:
    """A view or pure function that may be called."""

    name: str
    inputs: tuple[Kind, ...]
    outputs: tuple[Kind, ...]

    def data(self, args: Sequence[object]) -> bytes:
        """The call data for arguments that are JSON values. Raises CallRefused."""
        if len(args) != len(self.inputs):
            raise CallRefused(_REFUSED + f"it takes {len(self.inputs)} arguments.")
        types = [kind.text for kind in self.inputs]
        try:
            values = [_value(kind, arg) for kind, arg in zip(self.inputs, args, strict=True)]
            encoded = encode(types, values)
        except (TypeError, ValueError, OverflowError):
            raise CallRefused(_REFUSED + "the arguments do not fit its types.") from None
        return keccak256(f"{self.name}({','.join(types)})".encode())[:4] + encoded

    def result(self, answer: bytes) -> object:
        """The one output, or a list of several. Raises CallRefused."""
        if _at_worst(self.outputs, len(answer)) > MAX_DECODED:
            raise CallRefused(_REFUSED + "its answer is too large.")
        try:
            values = decode([kind.text for kind in self.outputs], answer)
        except (ValueError, OverflowError):
            raise CallRefused(_REFUSED + "its answer is of another type.") from None
        if any(each < 0 for each in _left(values, MAX_VALUES, MAX_TEXT)):
            raise CallRefused(_REFUSED + "its answer is too large.")
        listed = [_listed(value) for value in values]
        return listed[0] if len(listed) == 1 else listed


def _at_worst(kinds: Sequence[Kind], length: int) -> int:
    """How many bytes an answer can decode to: each pointer may lead to the whole of it."""
    nesting = max((kind.nesting for kind in kinds), default=0)
    shared = max(1, length // _WORD) if nesting > 1 else 1
    return length * shared * sum(kind.words for kind in kinds)


def read_fragment(fragment: Mapping[str, Any]) -> Function:
    """The function that a fragment of JSON describes. Raises CallRefused."""
    name = fragment.get("name")
    if fragment.get("type", "function") != "function" or not isinstance(name, str):
        raise CallRefused(_REFUSED + "it is no function.")
    if fragment.get("stateMutability") not in ("view", "pure") or not _NAME.fullmatch(name):
        raise CallRefused(_REFUSED + "it is no view.")
    return Function(name, _kinds(fragment.get("inputs")), _kinds(fragment.get("outputs")))


def _kinds(parameters: object, depth: int = 0) -> tuple[Kind, ...]:
    if not isinstance(parameters, list) or len(parameters) > MAX_PARAMETERS or depth > 3:
        raise CallRefused(_REFUSED + "it has too many parameters, or none.")
    kinds = tuple(_kind(parameter, depth) for parameter in parameters)
    if sum(kind.words for kind in kinds) > MAX_FIXED:
        raise CallRefused(_REFUSED + "its types are too large.")
    return kinds


def _kind(parameter: object, depth: int) -> Kind:
    text = parameter.get("type") if isinstance(parameter, Mapping) else None
    match = _TYPE.fullmatch(text) if isinstance(text, str) else None
    if match is None or not isinstance(parameter, Mapping) or not _is_plain(match):
        raise CallRefused(_REFUSED + "it has a type that is not supported.")
    dims = tuple(int(size) if size else None for size in re.findall(r"\[([0-9]*)\]", match["dims"]))
    parts = _kinds(parameter.get("components"), depth + 1) if match["base"] == "tuple" else ()
    kind = Kind({"uint": "uint256", "int": "int256"}.get(match["base"], match["base"]), dims, parts)
    if 0 in dims or kind.nesting > MAX_NESTING or (kind.base == "tuple" and not parts):
        raise CallRefused(_REFUSED + "it has a type that is not supported.")
    return kind


def _is_plain(match: re.Match[str]) -> bool:
    bits, size = match["bits"], match["size"]
    if bits is not None:
        return int(bits) in range(8, 257, 8) and bits[0] != "0"
    return size is None or (int(size) in range(1, 33) and size[0] != "0")


def _value(kind: Kind, given: object) -> object:
    """Raises ValueError, TypeError."""
    if kind.dims:
        if not isinstance(given, list) or kind.dims[-1] not in (None, len(given)):
            raise ValueError("no such list")
        item = Kind(kind.base, kind.dims[:-1], kind.parts)
        return [_value(item, each) for each in given]
    if kind.parts:
        return _tuple(kind, given)
    if "int" in kind.base:
        return _number(given)
    if kind.base == "address" and not is_address(given):
        raise ValueError("no address")
    if kind.base.startswith("bytes"):
        return _bytes(given)
    return given


def _tuple(kind: Kind, given: object) -> object:
    if not isinstance(given, list):
        raise TypeError("no list for a tuple")
    return tuple(_value(part, each) for part, each in zip(kind.parts, given, strict=True))


def _number(given: object) -> int:
    """JSON numbers lose digits beyond 2^53 in many programs, so texts count as well."""
    if type(given) is int:
        return given
    if not isinstance(given, str) or not _NUMBER.fullmatch(given):
        raise ValueError("no whole number")
    return int(given, 16 if "0x" in given else 10)


def _bytes(given: object) -> bytes:
    if not isinstance(given, str) or given[:2] != "0x":
        raise ValueError("no bytes")
    return bytes.fromhex(given[2:])


def _listed(value: object) -> object:
    return [_listed(each) for each in value] if isinstance(value, (list, tuple)) else value


def _left(value: object, values: int, text: int) -> tuple[int, int]:
    """What is left of the bounds beyond a result's values; stops soon once nothing is."""
    if isinstance(value, (str, bytes)):
        return values - 1, text - len(value)
    if not isinstance(value, (list, tuple)):
        return values - 1, text
    for each in value:
        values, text = _left(each, values, text)
        if values < 0 or text < 0:
            break
    return values, text
