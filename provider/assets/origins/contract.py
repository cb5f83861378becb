"""Files that are what a contract answers, as JSON text.

The publisher fixes contract and function; a consumer gives the arguments by name. What
they may be is decided where the chain is asked; here they are put in order.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from compute.errors import InputUnavailable
from provider.assets.files import ContractFile
from provider.assets.origins.base import CONTRACTS
from provider.assets.origins.text import ContentOrigin
from provider.auth.signatures import is_address, to_checksum
from provider.errors import ChainUnavailable, ProviderError

MAX_JSON_BYTES = 1 << 20
TOO_LARGE = "The answer of this contract is too large to be a file."
NO_CHAINS = "Contracts are not read by this provider."
NO_CHAIN = "malformed smartcontract type, missing chainId"


class ContractReader(ABC):
    """Asks one view of a contract on one of the chains that this service follows."""

    @abstractmethod
    async def read(
        self, chain_id: int, address: str, fragment: Mapping[str, Any], args: Sequence[object]
    ) -> object:
        """The function's answer: the one output, or a list of several; bytes as bytes.

        ``args`` are JSON values in the fragment's order. Raises UnsupportedChain,
        ChainUnavailable, CallRefused.
        """


class Readable(Protocol):
    """What :class:`provider.chain.contracts.Contracts` offers here."""

    async def read(
        self, address: str, fragment: Mapping[str, Any], args: Sequence[object]
    ) -> object: ...


class HasContracts(Protocol):
    """What :class:`provider.chain.chains.ChainAccess` offers here."""

    @property
    def contracts(self) -> Readable: ...


class ChainContracts(ContractReader):
    """Reads from the configured chains; ``chains[id]`` raises UnsupportedChain."""

    def __init__(self, chains: Mapping[int, HasContracts]) -> None:
        self._chains = chains

    async def read(
        self, chain_id: int, address: str, fragment: Mapping[str, Any], args: Sequence[object]
    ) -> object:
        return await self._chains[chain_id].contracts.read(address, fragment, args)


class ContractOrigin(ContentOrigin):
    """A view's answer. ``chain_id`` is the chain of the asset, for file objects that name
    none."""

    content_type = "application/json"

    def __init__(
        self,
        reader: ContractReader | None,
        file: ContractFile,
        userdata: Mapping[str, Any],
        *,
        chain_id: int | None,
        name: str,
        identity: str,
    ) -> None:
        self.type = file.type
        self.origin = CONTRACTS
        self.name = name
        self.identity = identity
        self._reader = reader
        self._file = file
        self._userdata = userdata
        self._chain_id = file.chainId or chain_id

    async def content(self) -> bytes:
        file = self._file
        if self._reader is None:
            raise InputUnavailable(NO_CHAINS)
        if self._chain_id is None:
            raise InputUnavailable(NO_CHAIN)
        args = arguments(file.abi, self._userdata)
        try:
            value = await self._reader.read(self._chain_id, file.address, file.abi, args)
        except ChainUnavailable as error:
            raise InputUnavailable(error.public, temporary=True) from None
        except ProviderError as error:
            raise InputUnavailable(error.public) from None
        return await asyncio.to_thread(as_json, value, file.abi.get("outputs"))


def arguments(fragment: Mapping[str, Any], userdata: Mapping[str, Any]) -> list[object]:
    """Userdata in the order of the function's inputs. Raises InputUnavailable that names
    the missing ones."""
    names = [str(each["name"]) for each in fragment["inputs"]]
    missing = [name for name in names if name not in userdata]
    if missing:
        raise InputUnavailable(f"Missing userparams: {', '.join(missing)}")
    return [userdata[name] for name in names]


def as_json(value: object, outputs: object) -> bytes:
    """A function's answer as JSON: bytes in hexadecimal, addresses checksummed, numbers
    with all their digits. Raises InputUnavailable beyond ``MAX_JSON_BYTES``."""
    left = MAX_JSON_BYTES
    for least in _sizes(value):
        left -= least
        if left < 0:
            raise InputUnavailable(TOO_LARGE)
    shown = _shown(value, outputs if isinstance(outputs, list) else [])
    return json.dumps(shown, separators=(",", ":")).encode()


def _sizes(value: object) -> Iterator[int]:
    """What each part of a value takes as JSON, at least, with the mark that follows it."""
    if isinstance(value, (list, tuple)):
        yield 3
        for each in value:
            yield from _sizes(each)
    elif isinstance(value, bytes):
        yield 2 * len(value) + 5
    elif isinstance(value, str):
        yield len(value) + 3
    elif isinstance(value, int):
        yield value.bit_length() * 3 // 10 + 2
    else:
        yield 2


def _shown(value: object, outputs: Sequence[object]) -> object:
    if len(outputs) == 1:
        return _one(value, outputs[0])
    if isinstance(value, list) and len(value) == len(outputs):
        return [_one(*pair) for pair in zip(value, outputs, strict=True)]
    return _one(value, None)


def _one(value: object, parameter: object) -> object:
    about = parameter if isinstance(parameter, Mapping) else {}
    kind, parts = str(about.get("type", "")), about.get("components")
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, str) and kind.startswith("address") and is_address(value):
        return to_checksum(value)
    if not isinstance(value, (list, tuple)):
        return value
    if kind == "tuple" and isinstance(parts, list) and len(parts) == len(value):
        return [_one(*pair) for pair in zip(value, parts, strict=True)]
    inner = {**about, "type": kind.rpartition("[")[0]}
    return [_one(each, inner) for each in value]
