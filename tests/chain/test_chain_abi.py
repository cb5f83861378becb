"""Foreign contract functions: coded right, and bounded whatever they claim."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from provider.auth.keccak import keccak256
from provider.chain import abi
from provider.chain.abi import read_fragment
from provider.errors import CallRefused

Json = dict[str, Any]
A = "0x" + "ab" * 20


def function(inputs: list[Any], outputs: list[Any], /, **changes: object) -> Json:
    def parameters(types: list[object]) -> list[object]:
        return [{"name": "", "type": each} if isinstance(each, str) else each for each in types]

    plain: Json = {"type": "function", "name": "get", "stateMutability": "view"}
    return plain | {"inputs": parameters(inputs), "outputs": parameters(outputs)} | changes


def tuple_of(*types: object, kind: str = "tuple") -> Json:
    return {"type": kind, "components": function(list(types), [])["inputs"]}


CODED = [
    (["uint256"], [5], [5]),
    (["uint256"], ["5"], [5]),
    (["uint256"], ["0x10"], [16]),
    (["int8"], ["-5"], [-5]),
    (["uint"], [str(2**256 - 1)], [2**256 - 1]),
    (["address"], ["0x" + "AB" * 20], [A]),
    (["bool"], [True], [True]),
    (["string"], ["ä"], ["ä"]),
    (["bytes"], ["0x00ff"], [b"\x00\xff"]),
    (["bytes4"], ["0x01020304"], [b"\x01\x02\x03\x04"]),
    (["uint8[]"], [[1, "2"]], [(1, 2)]),
    (["uint8[2][]"], [[[1, 2], [3, 4]]], [((1, 2), (3, 4))]),
    (["string[]"], [["a", "b"]], [("a", "b")]),
    ([tuple_of("uint8", "string")], [[1, "x"]], [(1, "x")]),
    ([tuple_of("uint8", kind="tuple[]")], [[[1], [2]]], [((1,), (2,))]),
    ([tuple_of("uint8", tuple_of("bool"))], [[1, [True]]], [(1, (True,))]),
    ([], [], []),
]


@pytest.mark.parametrize(("types", "args", "values"), CODED)
def test_arguments_are_coded(types: list[object], args: list[object], values: list[Any]) -> None:
    asked = read_fragment(function(types, ["bool"]))
    data = asked.data(args)
    listed = [kind.text for kind in asked.inputs]
    assert data[:4] == keccak256(f"get({','.join(listed)})".encode())[:4]
    assert decode(listed, data[4:]) == tuple(values)


def test_names_of_types_are_those_of_signatures() -> None:
    kinds = read_fragment(
        function(["uint", "int[2]", tuple_of("uint", "bytes", kind="tuple[3][]")], [])
    ).inputs
    assert [kind.text for kind in kinds] == ["uint256", "int256[2]", "(uint256,bytes)[3][]"]


@pytest.mark.parametrize(
    ("types", "args"),
    [
        (["uint8"], [256]),
        (["uint8"], [-1]),
        (["uint8"], ["1e3"]),
        (["uint8"], [1.0]),
        (["uint8"], [True]),
        (["uint8"], [None]),
        (["uint256"], ["9" * 10_000]),
        (["uint8"], ["\u0661"]),
        (["address"], ["0x12"]),
        (["address"], [None]),
        (["bool"], ["true"]),
        (["bool"], [1]),
        (["string"], [5]),
        (["string"], ["\ud800"]),
        (["bytes"], ["00ff"]),
        (["bytes"], ["0x0"]),
        (["bytes4"], ["0x0102030405"]),
        (["uint8[2]"], [[1]]),
        (["uint8[]"], [1]),
        (["uint8[]"], ["12"]),
        (["uint8[]"], [{"0": 1}]),
        ([tuple_of("uint8", "uint8")], [[1]]),
        ([tuple_of("uint8")], [1]),
        (["uint8"], []),
        (["uint8"], [1, 2]),
    ],
)
def test_arguments_that_do_not_fit(types: list[object], args: list[object]) -> None:
    with pytest.raises(CallRefused, match="cannot be read"):
        read_fragment(function(types, [])).data(args)


@pytest.mark.parametrize(("types", "args", "values"), CODED[4:-1])
def test_results_are_plain_values(
    types: list[object], args: list[object], values: list[Any]
) -> None:
    asked = read_fragment(function([], types))
    answer = encode([kind.text for kind in asked.outputs], values)

    def plain(value: object) -> object:
        return [plain(each) for each in value] if isinstance(value, tuple) else value

    assert asked.result(answer) == plain(values[0])


def test_several_results_are_a_list() -> None:
    asked = read_fragment(function([], ["uint8", "string"]))
    assert asked.result(encode(["uint8", "string"], [1, "x"])) == [1, "x"]


@pytest.mark.parametrize("answer", [b"", b"\x01", b"\xff" * 32, b"\xff" * 64])
def test_results_of_another_type(answer: bytes) -> None:
    with pytest.raises(CallRefused):
        read_fragment(function([], ["string"])).result(answer)


@pytest.mark.parametrize(
    "fragment",
    [
        {},
        function([], [], type="event"),
        function([], [], type="constructor"),
        function([], [], stateMutability="nonpayable"),
        function([], [], stateMutability="payable"),
        function([], [], stateMutability=None),
        function([], [], name=5),
        function([], [], name="get(uint256)"),
        function([], [], name="x" * 200),
        function([], [], inputs=None),
        function([], [], outputs={}),
        function([], [], outputs=["uint8"]),
        function([], [], outputs=[{"type": 5}]),
        function([], [], outputs=[{}]),
    ],
)
def test_fragments_that_are_no_view(fragment: Json) -> None:
    with pytest.raises(CallRefused, match="cannot be read"):
        read_fragment(fragment)


DEEP: object = "uint8"
for _ in range(50):
    DEEP = tuple_of(DEEP)


@pytest.mark.parametrize(
    "kind",
    [
        "uint7",
        "uint264",
        "uint0",
        "uint08",
        "bytes0",
        "bytes33",
        "fixed128x18",
        "function",
        "uint8[0]",
        "uint8[-1]",
        "uint8[999]",
        "uint8[100][100]",
        "uint8[1000000000]",
        "uint8[][][]",
        "string[][]",
        "uint8[][][][]",
        "uint8 ",
        "uint\u0668",
        "",
        "(uint8)",
        tuple_of(),
        tuple_of(kind="tuple[]"),
        {"type": "tuple"},
        tuple_of("string[]", kind="tuple[]"),
        tuple_of(*["uint8"] * 33),
        tuple_of(*["uint8"] * 20, kind="tuple[20]"),
        DEEP,
    ],
)
def test_types_that_are_not_supported(kind: object) -> None:
    for fragment in (function([], [kind]), function([kind], [])):
        with pytest.raises(CallRefused, match="cannot be read"):
            read_fragment(fragment)


def test_too_many_parameters() -> None:
    with pytest.raises(CallRefused):
        read_fragment(function(["uint8"] * 33, []))


def bomb(count: int, size: int) -> bytes:
    """An array whose ``count`` pointers all lead to the same ``size`` bytes."""
    head = (32).to_bytes(32) + count.to_bytes(32) + (count * 32).to_bytes(32) * count
    return head + size.to_bytes(32) + b"x" * size


@pytest.mark.parametrize(
    ("kinds", "answer"),
    [
        (["string[]"], bomb(10_000, 1_000_000)),
        (["string[]"], bomb(1_000, 1_000)),
        (["uint8[][]"], bomb(20_000, 20_000)),
        (["string"] * 32, (32 * 32).to_bytes(32) * 32 + (10**6).to_bytes(32) + b"x" * 10**6),
        (["uint8"], bytes(20 << 20)),
    ],
)
def test_answers_that_would_grow(kinds: list[object], answer: bytes) -> None:
    asked = read_fragment(function([], kinds))
    began = time.process_time()
    with pytest.raises(CallRefused, match="too large"):
        asked.result(answer)
    assert time.process_time() - began < 0.5


def test_the_largest_answers_are_quick() -> None:
    asked = read_fragment(function([], ["string[]"]))
    most = abi.MAX_DECODED
    count = next(n for n in range(10, 1000) if abi._at_worst(asked.outputs, 64 * n) > most) - 1
    began = time.process_time()
    with pytest.raises(CallRefused, match="too large"):
        asked.result(bomb(count, 32 * count - 96))
    found = asked.result(bomb(count, 32 * count // 4))
    assert time.process_time() - began < 2
    assert isinstance(found, list)
    assert len(found) == count


def test_a_result_has_so_many_values_and_no_more() -> None:
    asked = read_fragment(function([], ["address[]"]))
    most = encode(["address[]"], [[A] * abi.MAX_VALUES])
    found = asked.result(most)
    assert isinstance(found, list)
    assert len(found) == abi.MAX_VALUES
    with pytest.raises(CallRefused, match="too large"):
        asked.result(encode(["address[]"], [[A] * (abi.MAX_VALUES + 1)]))


@given(st.binary(max_size=800), st.sampled_from([types for types, _, _ in CODED]))
def test_any_answer_is_a_value_or_refused(answer: bytes, types: list[object]) -> None:
    with contextlib.suppress(CallRefused):
        read_fragment(function([], types)).result(answer)
