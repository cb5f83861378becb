"""``chain``: a chain to develop and test on."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provider.cli.output import EXIT_FAILED, EXIT_USAGE, leave, print_line, say

if TYPE_CHECKING:
    from provider.devchain.running import Running

chain_app = typer.Typer(help="A chain to develop and test on.", no_args_is_help=True)

PACKAGES_MISSING = (
    "the development chain's packages are missing; install them with"
    ' pip install "ocean-compute[devchain]", or in a checkout pip install ".[devchain]"'
)
WARNING = (
    "Everybody knows these keys. Never send real money to these wallets, and never give one"
    " of the keys to a provider that others use."
)


@chain_app.callback()
def _chain() -> None:
    """A chain to develop and test on."""


@chain_app.command()
def dev(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the JSON-RPC server; 0: a free one.")
    ] = 8545,
    address_file: Annotated[
        Path, typer.Option(help="Where to write the addresses of the contracts.", metavar="FILE")
    ] = Path("address.json"),
    accounts: Annotated[int, typer.Option(min=1, max=100, help="How many test wallets.")] = 10,
    anvil: Annotated[
        bool | None,
        typer.Option("--anvil/--no-anvil", help="Use Anvil. Left out: if it is on the path."),
    ] = None,
    block_time: Annotated[
        float,
        typer.Option(min=0, max=3600, help="Seconds between blocks; 0: one for each transaction."),
    ] = 0,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Allow an address that others can reach.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON once the chain is usable.")
    ] = False,
) -> None:
    """Start a local chain with the Ocean contracts and funded test wallets (chain id 8996).

    Nothing of it is kept when it ends.
    """
    # The fastest hashing there is; has to be said before the library is imported.
    os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")
    try:
        from provider.devchain import running
        from provider.devchain.addresses import AddressFileUnusable
        from provider.devchain.anvil import AnvilFailed
    except ModuleNotFoundError:
        leave(PACKAGES_MISSING, EXIT_USAGE)

    try:
        options = running.Options(
            host=host,
            port=port,
            address_file=address_file,
            accounts=accounts,
            block_time_s=block_time,
            anvil=running.choose_anvil(anvil),
            outside=allow_outside,
        )
        asyncio.run(running.serve(options, lambda up: _tell(up, address_file, as_json=as_json)))
    except (running.CannotStart, AddressFileUnusable) as error:
        leave(str(error), EXIT_USAGE)
    except AnvilFailed as error:
        leave(str(error), EXIT_FAILED)


def _tell(up: Running, address_file: Path, *, as_json: bool) -> None:
    if as_json:
        print_line(json.dumps(_document(up, address_file)))
    else:
        _tell_person(up, address_file)
    sys.stdout.flush()


def _document(up: Running, address_file: Path) -> dict[str, object]:
    return {
        "url": up.url,
        "chainId": up.contracts["chainId"],
        "engine": up.engine,
        "addressFile": str(address_file.resolve()),
        "accounts": [{"address": w.address, "key": "0x" + w.key.hex()} for w in up.wallets],
    }


def _tell_person(up: Running, address_file: Path) -> None:
    say(WARNING)
    print_line("")
    for wallet in up.wallets:
        print_line(f"{wallet.address}  0x{wallet.key.hex()}")
    print_line("")
    print_line(f"Each has 1,000,000 ETH, 100,000 OCEAN, MockDAI and MockUSDC ({up.engine}).")
    print_line(f"Contracts: {address_file}")
    print_line(f"Chain {up.contracts['chainId']} is ready at {up.url}")
