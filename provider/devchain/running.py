"""``chain dev``: start a chain, deploy, tell, serve until told to end.

The address file is written last and in one step: once it is there, the chain is usable.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from provider.devchain.addresses import read_addresses, write_addresses
from provider.devchain.anvil import Anvil, AnvilFailed, anvil_path, blocking_ask
from provider.devchain.methods import Methods
from provider.devchain.node import Node
from provider.devchain.ocean import ETHER, deploy_ocean
from provider.devchain.server import RpcServer
from provider.devchain.wallets import DevWallet, dev_wallets

CHAIN_ID = 8996
_WALLET_WEI = 1_000_000 * ETHER


class CannotStart(Exception):
    """The chain cannot be served as asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Options:
    """What ``chain dev`` was asked for. ``port`` 0 takes a free one. ``block_time_s`` 0
    makes a block for each transaction at once. ``anvil`` is that program's path, None for
    the chain of this package. ``outside`` allows other machines.
    """

    host: str = "127.0.0.1"
    port: int = 8545
    address_file: Path = Path("address.json")
    accounts: int = 10
    block_time_s: float = 0.0
    anvil: str | None = None
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """A chain that is up. ``contracts`` is its entry of the address file; ``ended`` returns
    or raises when the chain does not go on."""

    url: str
    engine: str
    contracts: dict[str, Any]
    wallets: Sequence[DevWallet]
    ended: Callable[[], Awaitable[object]] = field(repr=False)


def choose_anvil(wanted: bool | None) -> str | None:
    """The program to use: the one on the path unless it is not wanted.

    Raises CannotStart when it is wanted and there is none.
    """
    found = None if wanted is False else anvil_path()
    if wanted and found is None:
        raise CannotStart("anvil is not on the path; leave --anvil out to do without it.")
    return found


async def serve(options: Options, ready: Callable[[Running], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``ready`` is called once the chain is usable.

    Raises CannotStart, AddressFileUnusable, AnvilFailed.
    """
    require_loopback(options)
    read_addresses(options.address_file)
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    start = _anvil_chain if options.anvil else _own_chain
    with contextlib.suppress(asyncio.CancelledError):
        async with start(options) as running:
            write_addresses(options.address_file, running.contracts)
            ready(running)
            await running.ended()


def require_loopback(options: Options) -> None:
    """Refuse an address that others reach: they know the keys of all wallets."""
    if options.outside or options.host == "localhost":
        return
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(options.host).is_loopback:
            return
    raise CannotStart(
        f"{options.host} is not an address of this machine alone;"
        " say --allow-outside if the chain may be used by others."
    )


@asynccontextmanager
async def _own_chain(options: Options) -> AsyncIterator[Running]:
    with _bound(options) as listening:
        wallets = dev_wallets(options.accounts)
        node = Node(CHAIN_ID, {bytes.fromhex(w.address[2:]): _WALLET_WEI for w in wallets})
        methods = Methods(node, wallets)
        server = RpcServer(methods.call)
        runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=1)
        try:
            contracts = await server.run(lambda: _deploy(methods.call, wallets))
            node.automatic = not options.block_time_s
            await runner.setup()
            await web.SockSite(runner, listening).start()

            async def ended() -> None:
                await _blocks(server, node, options.block_time_s)

            yield Running(_url(listening), "py-evm", contracts, wallets, ended)
        finally:
            await runner.cleanup()
            server.close()


@asynccontextmanager
async def _anvil_chain(options: Options) -> AsyncIterator[Running]:
    assert options.anvil is not None
    with _bound(options) as listening:
        host, port = listening.getsockname()[:2]
    wallets = dev_wallets(options.accounts)
    anvil = await Anvil.start(
        options.anvil,
        host,
        port,
        chain_id=CHAIN_ID,
        accounts=options.accounts,
        block_time_s=options.block_time_s,
    )
    try:
        call = blocking_ask(anvil.url)
        contracts = await asyncio.to_thread(_deploy, call, wallets)
        yield Running(anvil.url, "anvil", contracts, wallets, anvil.ended)
    except OSError:
        raise AnvilFailed("Anvil does not answer any more") from None
    finally:
        await anvil.stop()


def _deploy(call: Callable[[str, Sequence[Any]], Any], wallets: Sequence[DevWallet]) -> Any:
    return deploy_ocean(call, wallets[0].address, [wallet.address for wallet in wallets])


async def _blocks(server: RpcServer, node: Node, every_s: float) -> None:
    """Make a block at each interval, for ever; without an interval just wait."""
    while True:
        await asyncio.sleep(every_s or 3600)
        if every_s:
            await server.run(node.mine)


def _bound(options: Options) -> socket.socket:
    host = "127.0.0.1" if options.host == "localhost" else options.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, options.port), family=family)
    except OSError as error:
        raise CannotStart(
            f"port {options.port} of {host} cannot be used: {error.strerror}."
        ) from None


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
