"""A program that behaves as Anvil does at its command line; to be put on the path.

It serves the chain of the package, at the address and with the chain id that it is told.
``STAND_IN`` chooses how it misbehaves: "ends" ends at once, "silent" makes the file ``BEGUN``
and never answers, "stubborn" ignores SIGTERM, "dies" ends once it was asked for a balance.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from pathlib import Path
from typing import Any

from aiohttp import web

SCRIPT = """#!{python}
import sys
sys.path[:0] = {path!r}
from anvil_stand_in import main
main()
"""


def install(folder: Path) -> Path:
    """Put the program into ``folder`` as ``anvil``."""
    program = folder / "anvil"
    program.write_text(SCRIPT.format(python=sys.executable, path=sys.path))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def main() -> None:
    from provider.devchain.methods import Methods
    from provider.devchain.node import Node
    from provider.devchain.server import RpcServer
    from provider.devchain.wallets import dev_wallets

    options = _options()
    manner = os.environ.get("STAND_IN", "")
    if manner == "ends":
        sys.exit(1)
    if manner == "silent":
        Path(os.environ["BEGUN"]).touch()
        threading.Event().wait()
    if manner == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wallets = dev_wallets(int(options["--accounts"]))
    balances = {bytes.fromhex(w.address[2:]): 10**24 for w in wallets}
    node = Node(int(options["--chain-id"]), balances)
    methods = Methods(node, wallets)

    def call(method: object, params: object) -> Any:
        if manner == "dies" and method == "eth_getBalance":
            os._exit(1)
        return methods.call(method, params)

    handles = manner != "stubborn"
    web.run_app(
        RpcServer(call).application(),
        host=options["--host"],
        port=int(options["--port"]),
        handle_signals=handles,
        print=None,
    )


def _options() -> dict[str, str]:
    words = [word for word in sys.argv[1:] if word != "--silent"]
    assert "--silent" in sys.argv
    return dict(zip(words[::2], words[1::2], strict=True))
