"""Which chains an operator configured: texts of the environment made into ChainSettings.

Pure but for reading the address file. A value that differs by chain is a JSON object by
chain id, as in ``{"137": …}``; a plain value counts for all chains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from provider import bounded_json
from provider.auth.signatures import is_address
from provider.chain.networks import ChainSettings, Network, read_networks
from provider.errors import SettingsInvalid

T = TypeVar("T")

HINTS = {
    "NETWORK_URL": 'write {"<chain id>": ["https://…", …]}, or addresses with CHAIN_ID beside it',
    "CHAIN_ID": "write the number of the chain that NETWORK_URL leads to",
    "ADDRESS_FILE": "name the JSON file of the Ocean contracts' addresses",
    "CONFIRMATIONS": "write a whole number from 1 to 10000, or one by chain id",
    "PROVIDER_FEE_TOKEN": "write a token's address, or one by chain id",
    "INDEX_FROM_BLOCK": "write a block number, off, or one of them by chain id",
    "RPC_TIMEOUT": "write a number of seconds from 0.1 to 300",
}
_WHOLE_DIGITS = 18


def chains_from(given: Mapping[str, str]) -> tuple[ChainSettings, ...]:
    """The chains that the variables in ``HINTS`` describe; none without ``NETWORK_URL``.

    Raises SettingsInvalid with one line a mistake.
    """
    if not given.get("NETWORK_URL"):
        return ()
    mistakes: list[str] = []
    urls = _noted(mistakes, lambda: _nodes(given), dict[int, tuple[str, ...]]())
    networks = _noted(mistakes, lambda: cast(dict[int, Network] | None, _networks(given)), None)
    timeout = _noted(mistakes, lambda: _timeout(given.get("RPC_TIMEOUT", "10")), 10.0)
    read = _Reader(given, mistakes)
    chains = [
        _chain(chain_id, urls[chain_id], networks, read, timeout)
        for chain_id in urls
        if networks is not None and _known(mistakes, chain_id, networks)
    ]
    if mistakes:
        raise SettingsInvalid("\n".join(dict.fromkeys(mistakes)))
    return tuple(chains)


class _Reader:
    """Values that may differ by chain."""

    def __init__(self, given: Mapping[str, str], mistakes: list[str]) -> None:
        self._given = given
        self._mistakes = mistakes

    def value(self, name: str, chain_id: int, parse: Callable[[str], T], default: T) -> T:
        text = self._given.get(name, "")
        if not text:
            return default

        def read() -> T:
            by_chain = _by_chain(name, text)
            if by_chain is None:
                return parse(text)
            own = by_chain.get(str(chain_id))
            return default if own is None else parse(str(own))

        return _noted(self._mistakes, read, default)


def _chain(
    chain_id: int,
    urls: tuple[str, ...],
    networks: Mapping[int, Network],
    read: _Reader,
    timeout: float,
) -> ChainSettings:
    network = networks[chain_id]
    return ChainSettings(
        chain_id=chain_id,
        name=network.name,
        factory=network.factory,
        fee_token=read.value("PROVIDER_FEE_TOKEN", chain_id, _address, network.ocean),
        rpc_urls=urls,
        confirmations=read.value("CONFIRMATIONS", chain_id, _confirmations, 1),
        index_from=read.value(
            "INDEX_FROM_BLOCK", chain_id, _first_block, cast(int | None, network.start_block)
        ),
        rpc_timeout_s=timeout,
    )


def _nodes(given: Mapping[str, str]) -> dict[int, tuple[str, ...]]:
    text = given["NETWORK_URL"]
    by_chain = _by_chain("NETWORK_URL", text)
    if by_chain is None:
        chain_id = _chain_id("CHAIN_ID", given.get("CHAIN_ID", ""))
        return {chain_id: _urls(text.replace(",", " ").split())}
    if not by_chain:
        raise _mistake("NETWORK_URL", "names no chain")
    return {_chain_id("NETWORK_URL", name): _urls(value) for name, value in by_chain.items()}


def _networks(given: Mapping[str, str]) -> dict[int, Network]:
    if not given.get("ADDRESS_FILE"):
        raise _mistake("ADDRESS_FILE", "is needed beside NETWORK_URL")
    try:
        return read_networks(Path(given["ADDRESS_FILE"]))
    except SettingsInvalid as error:
        raise _mistake("ADDRESS_FILE", error.public) from None


def _known(mistakes: list[str], chain_id: int, networks: Mapping[int, Network]) -> bool:
    if chain_id not in networks:
        text = f"has no network with chain id {chain_id} and an ERC721Factory"
        mistakes.append(_mistake("ADDRESS_FILE", text).public)
    return chain_id in networks


def _by_chain(name: str, text: str) -> dict[str, Any] | None:
    """A JSON object by chain id; None for a plain value."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = bounded_json.loads(text)
    except ValueError:
        raise _mistake(name, "is not valid JSON") from None
    assert isinstance(value, dict)
    return value


def _urls(value: object) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(map(_is_web_url, listed)):
        raise _mistake("NETWORK_URL", "holds something that is no http or https address")
    return tuple(dict.fromkeys(listed))


def _is_web_url(text: object) -> bool:
    try:
        parts = urlsplit(text) if isinstance(text, str) else None
    except ValueError:
        return False
    return parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname)


def _chain_id(name: str, text: str) -> int:
    if not _is_whole(text) or int(text) == 0:
        raise _mistake(name, "does not say which chain" if not text else "has a bad chain id")
    return int(text)


def _confirmations(text: str) -> int:
    if not _is_whole(text) or not 1 <= int(text) <= 10_000:
        raise _mistake("CONFIRMATIONS", "is not a number of blocks")
    return int(text)


def _first_block(text: str) -> int | None:
    if text.lower() == "off":
        return None
    if not _is_whole(text):
        raise _mistake("INDEX_FROM_BLOCK", "is not a block number")
    return int(text)


def _address(text: str) -> str:
    if not is_address(text):
        raise _mistake("PROVIDER_FEE_TOKEN", "is not an address")
    return text.lower()


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.1 <= seconds <= 300:
        raise _mistake("RPC_TIMEOUT", "is not a usable number of seconds")
    return seconds


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _WHOLE_DIGITS


def _mistake(name: str, problem: str) -> SettingsInvalid:
    return SettingsInvalid(f"{name}: {problem}; {HINTS[name]}")


def _noted(mistakes: list[str], read: Callable[[], T], default: T) -> T:
    try:
        return read()
    except SettingsInvalid as error:
        mistakes.append(error.public)
        return default
