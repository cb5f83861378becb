"""Which chains there are: nodes, contracts, confirmations. Values and the address file.

The address file is what deployments of the Ocean contracts write: by network name an
object with ``chainId``, ``ERC721Factory``, ``Ocean`` and ``startBlock``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provider import bounded_json
from provider.auth.signatures import is_address
from provider.errors import SettingsInvalid

MAX_FILE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Network:
    """One entry of an address file. Addresses are lower-case."""

    name: str
    chain_id: int
    factory: str
    ocean: str = ""
    start_block: int = 0


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """One configured chain. ``rpc_urls`` may hold access keys, so they never show.

    ``fee_token`` is the token of fees where an environment has no price of its own;
    ``index_from`` is the first block that the index of assets looks at, None for no index.
    """

    chain_id: int
    name: str
    factory: str
    fee_token: str
    rpc_urls: tuple[str, ...] = field(repr=False)
    confirmations: int = 1
    index_from: int | None = 0
    rpc_timeout_s: float = 10.0


def read_networks(path: Path) -> dict[int, Network]:
    """The networks of an address file by chain id. Raises SettingsInvalid."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingsInvalid(f"{path} is too large for an address file")
        document = bounded_json.loads(path.read_bytes())
    except OSError as error:
        raise SettingsInvalid(f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise SettingsInvalid(f"{path} is not valid JSON") from None
    if not isinstance(document, dict):
        raise SettingsInvalid(f"{path} is not a JSON object of networks")
    networks = {}
    for name, entry in document.items():
        network = _network(name, entry) if isinstance(entry, dict) else None
        if network is not None:
            networks[network.chain_id] = network
    return networks


def _network(name: str, entry: Mapping[str, Any]) -> Network | None:
    """None for an entry that names no factory: older generations of the contracts."""
    chain_id, factory, ocean = entry.get("chainId"), entry.get("ERC721Factory"), entry.get("Ocean")
    start = entry.get("startBlock", 0)
    if type(chain_id) is not int or not isinstance(factory, str) or not is_address(factory):
        return None
    return Network(
        name=name,
        chain_id=chain_id,
        factory=factory.lower(),
        ocean=ocean.lower() if isinstance(ocean, str) and is_address(ocean) else "",
        start_block=start if type(start) is int and start >= 0 else 0,
    )
