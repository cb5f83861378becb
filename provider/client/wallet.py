"""The consumer's wallet: it signs texts and typed requests, and counts nonces."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak

from provider.auth.typed import TypedRequest
from provider.client.errors import ClientUsageError, plain

_HEX_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_LIKE_A_KEY = re.compile(r"[0-9a-fA-F]{16}|(\w+\s+){8}")
_MAX_KEY_FILE_BYTES = 1024
_TYPED_LIFE_S = 600


class Signer(Protocol):
    """What is needed of an eth_account account."""

    @property
    def address(self) -> Any: ...

    def sign_message(self, signable_message: Any) -> Any: ...

    def sign_typed_data(
        self,
        domain_data: dict[str, Any] | None = None,
        message_types: dict[str, Any] | None = None,
        message_data: dict[str, Any] | None = None,
        full_message: dict[str, Any] | None = None,
    ) -> Any: ...


Key = Signer | str | Path


@dataclass(frozen=True, slots=True)
class Call:
    """One request to sign: ``operation`` is its name in ``serviceEndpoints``, ``text`` gives
    the text to sign for a nonce, ``as_body`` sends the parameters as JSON instead of a query."""

    operation: str
    parameters: Mapping[str, Any]
    text: Callable[[str], str]
    job_id: str = ""
    as_body: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Domain:
    """Whom a typed signature is for."""

    provider_address: str
    chain_id: int | None


def load_signer(key: Key) -> Signer:
    """An account from an account, 64 hexadecimal digits, or the path of a file with them."""
    if not isinstance(key, str | Path):
        return key
    text = str(key) if isinstance(key, str) and _HEX_KEY.fullmatch(key) else _key_text(Path(key))
    try:
        signer: Signer = Account.from_key(text)
    except ValueError:
        raise ClientUsageError("The wallet's private key is not a valid one.") from None
    return signer


def private_key_of(key: Key) -> bytes:
    """The 32 bytes of a private key. Raises ClientUsageError, too where a signer keeps its own
    to itself."""
    secret = getattr(load_signer(key), "key", None)
    if not isinstance(secret, bytes):
        raise ClientUsageError("This wallet signs, but does not give its private key away.")
    return bytes(secret)


def _key_text(path: Path) -> str:
    try:
        with path.expanduser().open("rb") as file:
            text = file.read(_MAX_KEY_FILE_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise ClientUsageError(
            f"The key file {_shown(path)}cannot be read: {error.strerror}."
        ) from None
    if not _HEX_KEY.fullmatch(text):
        raise ClientUsageError(
            f"The key file {_shown(path)}does not hold a private key: 64 hexadecimal digits"
            " were expected."
        )
    return text


def _shown(path: Path) -> str:
    """The path and a blank; nothing of what may be a mistyped key or its words."""
    text = str(path)
    return "" if _LIKE_A_KEY.search(text) else f"{plain(text)} "


class Wallet:
    """Signs calls for one address. ``typed`` chooses the stricter EIP-712 form."""

    def __init__(self, signer: Signer, *, typed: bool = False) -> None:
        self.signer = signer
        self.typed = typed
        self.address = str(signer.address)

    def sign(self, call: Call, nonce: int, domain: Domain | None) -> dict[str, Any]:
        """The call's parameters with nonce and signature."""
        parameters = {**call.parameters, "nonce": str(nonce)}
        if domain is None:
            signed = self.signer.sign_message(encode_defunct(keccak(text=call.text(str(nonce)))))
        else:
            expiry = int(time.time()) + _TYPED_LIFE_S
            parameters["expiry"] = str(expiry)
            request = TypedRequest(
                self.address, call.operation, call.job_id, parameters, nonce, expiry
            )
            document = request.as_typed_data(domain.provider_address, domain.chain_id)
            signed = self.signer.sign_typed_data(full_message=document)
        return {**parameters, "signature": "0x" + bytes(signed.signature).hex()}


class NonceCounter:
    """The next nonce: one more than the greatest that was used here or seen by the provider.

    The provider is asked once, then after each refusal. Not safe for two tasks at once:
    the client holds its lock from here until the provider has answered, so that a greater
    nonce never overtakes a smaller one.
    """

    def __init__(self, ask: Callable[[], Awaitable[int]]) -> None:
        self._ask = ask
        self._last: int | None = None

    async def next(self, *, ask_again: bool = False) -> int:
        last = self._last
        if last is None or ask_again:
            last = max(last or 0, await self._ask())
        self._last = last + 1
        return self._last
