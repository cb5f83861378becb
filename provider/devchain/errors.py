"""What a call to the chain can be refused with, as JSON-RPC tells it (EIP-1474)."""

from __future__ import annotations

from eth.exceptions import VMError
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

_ERROR_TEXT = bytes.fromhex("08c379a0")
"""Selector of ``Error(string)``, which ``require`` reverts with."""
_PANIC = bytes.fromhex("4e487b71")
"""Selector of ``Panic(uint256)``."""


class RpcError(Exception):
    """A refusal. ``data`` is what a contract reverted with, as hexadecimal text."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def refused(message: str) -> RpcError:
    """A transaction that was not accepted."""
    return RpcError(-32000, message)


def reverted(error: VMError, output: bytes) -> RpcError:
    """A call that did not succeed, with the contract's reason if it gave one."""
    if not output:
        name = type(error).__name__
        return RpcError(3, "execution reverted" if name == "Revert" else f"EVM error: {name}", "0x")
    reason = _reason(output)
    text = f"execution reverted: {reason}" if reason else "execution reverted"
    return RpcError(3, text, "0x" + output.hex())


def _reason(output: bytes) -> str:
    try:
        if output.startswith(_ERROR_TEXT):
            return str(decode(["string"], output[4:])[0])
        if output.startswith(_PANIC):
            return f"panic code {hex(decode(['uint256'], output[4:])[0])}"
    except DecodingError:
        pass
    return ""
