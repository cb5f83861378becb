"""Files that are a contract's answer: arguments by name, JSON out, faults told apart."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from compute.errors import InputUnavailable
from provider.assets.fetch import Fetcher
from provider.assets.files import parse_file
from provider.assets.origins.base import Probe, SourceFile
from provider.assets.origins.contract import MAX_JSON_BYTES, ChainContracts, as_json
from provider.assets.origins.kinds import Origins
from provider.auth.signatures import to_checksum
from provider.chain.chains import ChainAccess, Chains
from provider.chain.contracts import Contracts
from provider.chain.fake import FakeChain
from provider.chain.networks import ChainSettings

TOKEN = "0x" + "aa" * 20
OWNER = "0x" + "bc" * 20
FACTORY = "0x" + "fa" * 20


class World:
    """A chain in memory whose contracts answer, and files made from them."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.chain = FakeChain()
        settings = ChainSettings(
            chain_id=8996, name="development", factory=FACTORY, fee_token=TOKEN, rpc_urls=("x",)
        )
        access = ChainAccess(settings, self.chain, Contracts(self.chain, FACTORY))
        self.origins = Origins(fetcher, b"k" * 32, contracts=ChainContracts(Chains([access])))

    def file(
        self,
        inputs: str = "",
        outputs: str = "uint256",
        *,
        userdata: dict[str, Any] | None = None,
        chain_id: int | None = 8996,
        **more: Any,
    ) -> SourceFile:
        """A view ``read`` with inputs as ``name:type`` separated by blanks."""
        pairs = [each.split(":") for each in inputs.split()]
        fragment = {
            "type": "function",
            "name": "read",
            "stateMutability": "view",
            "inputs": [{"name": name, "type": kind} for name, kind in pairs],
            "outputs": [{"name": "", "type": kind} for kind in outputs.split()],
        }
        raw = {"type": "smartcontract", "address": to_checksum(TOKEN), "abi": fragment, **more}
        return self.origins.source(parse_file(raw), userdata or {}, chain_id=chain_id)


@pytest.fixture
def world(fetcher: Fetcher) -> World:
    return World(fetcher)


async def content(file: SourceFile, validator: str | None = None) -> bytes:
    async with file.open(validator) as download:
        return b"".join([chunk async for chunk in download.chunks])


async def refusal(file: SourceFile) -> InputUnavailable:
    with pytest.raises(InputUnavailable) as caught:
        await content(file)
    with pytest.raises(InputUnavailable) as again:
        await file.probe()
    assert again.value.public == caught.value.public
    return caught.value


@pytest.mark.parametrize(
    ("outputs", "answer", "text"),
    [
        ("uint256", [2**256 - 1], str(2**256 - 1)),
        ("int8", [-5], "-5"),
        ("bool", [True], "true"),
        ("string", ['é"'], '"\\u00e9\\""'),
        ("bytes", [b"\x00\xff"], '"0x00ff"'),
        ("bytes4", [b"abcd"], '"0x61626364"'),
        ("address", [OWNER], f'"{to_checksum(OWNER)}"'),
        ("address[]", [[OWNER, TOKEN]], f'["{to_checksum(OWNER)}","{to_checksum(TOKEN)}"]'),
        ("uint8[2]", [[1, 2]], "[1,2]"),
        ("uint256 address", [7, OWNER], f'[7,"{to_checksum(OWNER)}"]'),
    ],
)
async def test_answers_as_json(world: World, outputs: str, answer: list[Any], text: str) -> None:
    world.chain.answers(TOKEN, "read()", outputs.split(), answer)
    assert (await content(world.file(outputs=outputs))).decode() == text


def test_tuples_are_shown_by_their_parts() -> None:
    parts = [{"type": "address"}, {"type": "bytes2[]"}]
    outputs = [{"type": "tuple[]", "components": parts}]
    value = [[OWNER, [b"ab"]]]
    assert json.loads(as_json(value, outputs)) == [[to_checksum(OWNER), ["0x6162"]]]
    assert json.loads(as_json([1, b"a"], None)) == [1, "0x61"]


async def test_arguments_go_by_name(world: World) -> None:
    asked: list[tuple[Any, ...]] = []

    def answer(*args: Any) -> list[int]:
        asked.append(args)
        return [1]

    world.chain.answers(TOKEN, "read(address,uint256)", ["uint256"], answer)
    userdata = {"amount": "12", "who": to_checksum(OWNER), "address": OWNER, "abi": "x", "more": 1}
    await content(world.file("who:address amount:uint256", userdata=userdata))
    assert asked == [(OWNER, 12)]


async def test_arguments_that_are_missing(world: World) -> None:
    error = await refusal(world.file("a:uint256 b:uint256 c:bool", userdata={"b": 1}))
    assert (error.public, error.temporary) == ("Missing userparams: a, c", False)
    assert world.chain.asked["call"] == 0


async def test_arguments_that_do_not_fit(world: World) -> None:
    error = await refusal(world.file("a:uint8", userdata={"a": "secret"}))
    assert "secret" not in error.public
    assert not error.temporary


async def test_a_contract_that_refuses(world: World) -> None:
    world.chain.answers(TOKEN, "read()", ["uint256"], lambda: None)
    assert not (await refusal(world.file())).temporary


async def test_no_such_contract(world: World) -> None:
    assert not (await refusal(world.file())).temporary


async def test_a_chain_that_cannot_be_asked(world: World) -> None:
    world.chain.unreachable = True
    error = await refusal(world.file())
    assert error.temporary
    assert "8996" in error.public


async def test_another_chain(world: World) -> None:
    for file in (world.file(chainId=5), world.file(chain_id=5)):
        assert (await refusal(file)).public == "Unsupported chain ID 5"
    error = await refusal(world.file(chain_id=None))
    assert (error.public, error.temporary) == (
        "malformed smartcontract type, missing chainId",
        False,
    )
    world.chain.answers(TOKEN, "read()", ["uint256"], [7])
    assert await content(world.file(chainId=8996, chain_id=5)) == b"7"


async def test_without_chains_none_is_read(fetcher: Fetcher, world: World) -> None:
    world.origins = Origins(fetcher, b"k" * 32)
    assert "not read" in (await refusal(world.file())).public


async def test_what_the_file_is_like(world: World) -> None:
    world.chain.answers(TOKEN, "read()", ["uint256"], [7])
    file = world.file()
    assert await file.probe() == Probe(1, "application/json", file.name)
    assert file.name.endswith(".json")
    assert TOKEN[2:] not in file.name
    async with file.part("bytes=0-0") as part:
        assert (part.status, part.content_range) == (206, "bytes 0-0/1")


async def test_it_is_read_anew_and_knows_what_is_unchanged(world: World) -> None:
    values = [1]
    world.chain.answers(TOKEN, "read()", ["uint256"], lambda: values)
    file = world.file()
    async with file.open(None) as first:
        assert not first.unchanged
    async with file.open(first.validator) as second:
        assert second.unchanged
    values[0] = 2
    assert await content(file, first.validator) == b"2"


async def test_identity_is_of_chain_contract_and_arguments(world: World) -> None:
    one = world.file("a:uint256", userdata={"a": 1}).identity
    assert one == world.file("a:uint256", userdata={"a": 1}).identity
    assert one != world.file("a:uint256", userdata={"a": 2}).identity
    assert one != world.file("a:uint256", userdata={"a": 1}, chain_id=1).identity


def test_an_answer_that_is_too_large_is_no_file() -> None:
    many, outputs = MAX_JSON_BYTES // 45, [{"type": "address[]"}]
    assert MAX_JSON_BYTES - 100 < len(as_json([OWNER] * many, outputs)) <= MAX_JSON_BYTES
    with pytest.raises(InputUnavailable, match="too large"):
        as_json([OWNER] * (many + 1), outputs)


@pytest.mark.parametrize(
    "value",
    [
        [1 << 255] * 20_000,
        [b"x" * (1 << 19)],
        ["x" * (1 << 20)],
        [[[]] * 400_000],
        [None] * 600_000,
    ],
)
def test_all_that_a_value_holds_counts(value: Any) -> None:
    with pytest.raises(InputUnavailable, match="too large"):
        as_json(value, None)
    assert as_json(value[:1] if len(value) > 1 else [True, 0, -1, "a", b"b", None], None)


async def test_others_go_on_while_a_large_answer_is_written(world: World) -> None:
    world.chain.answers(TOKEN, "read()", ["address[]"], [[OWNER] * 10_000])
    asked = asyncio.ensure_future(content(world.file(outputs="address[]")))
    turns = 0
    while not asked.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert turns > 2, "were it written beside nobody, there would be one"
