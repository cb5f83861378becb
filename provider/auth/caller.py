"""Who is asking: a signature or a token, then the nonce.

Three ways to say who one is, tried in this order: a typed signature (when the request
has an ``expiry``), a signature over the plain text that old clients use, a token. Each
comes with a nonce that must be greater than the last one used. Here it is only read;
what the request causes consumes it, in the same transaction (:meth:`Callers.consume`).

Plain texts name no operation, and a signed status request does not consume its nonce, so
its signature would also pass for a stop of the same job; :mod:`provider.auth.shown`
remembers what each text was good for. Nor do they say where the nonce begins; a text that
can be read with a greater nonce is bound to the one it was served with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from compute.store.base import Work, nothing
from provider.auditing.asking import KINDS, asking
from provider.auditing.trail import Trail
from provider.auth.nonces import Nonces
from provider.auth.revocations import Revocations
from provider.auth.shown import Shown
from provider.auth.signatures import recover
from provider.auth.texts import SignedText
from provider.auth.tokens import Claims, Tokens
from provider.auth.typed import TypedRequest
from provider.errors import (
    NonceInvalid,
    NonceTooLow,
    SignatureMissing,
    SignatureWrong,
    TokenInvalid,
    TokenRevoked,
)
from provider.limits import Limit, unlimited

FIRST_NONCE = 1
"""What a wallet that never signed is told as its last nonce."""

_AHEAD_S = 24 * 3600
_MAX_DIGITS = 20
_REMEMBERED = 1024
_NANOSECONDS = 10**18
"""From here on a nonce can only be a time in nanoseconds."""


class Show(Protocol):
    """:meth:`Shown.claim` or :meth:`Shown.question`."""

    async def __call__(
        self, wallet: str, digest: bytes, operation: str, nonce: int, *, known: bool
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of its sender. ``address`` is a 0x address in any case.

    ``texts`` gives the plain texts that may have been signed, for a nonce as text; ``words``
    says the same to people. ``operation``, ``job_id``, ``parameters`` and ``expiry`` make
    the typed form. ``nonceless_text`` is a text without nonce that is good enough, None
    for nearly every request (see :meth:`provider.jobs.Jobs.stop`).
    """

    address: str
    operation: str
    texts: Callable[[str], Sequence[str]]
    words: str
    nonce: object = None
    signature: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    expiry: object = None
    job_id: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict, repr=False)
    nonce_optional: bool = False
    nonceless_text: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """A sender who proved to own ``address`` (lower-case). ``nonce`` is still to be consumed,
    None when the request carries none that counts. ``text`` is what was signed with it, None
    for typed data and tokens."""

    address: str
    nonce: int | None
    text: SignedText | None = None


class Callers:
    """Tells who is asking. ``now`` gives seconds since the epoch; ``limit`` counts a request of
    a wallet that has shown a right to make it, and may refuse it; ``trace`` counts one that any
    wallet may make and of which something is kept for ever."""

    def __init__(
        self,
        *,
        nonces: Nonces,
        shown: Shown,
        revocations: Revocations,
        tokens: Tokens,
        provider_address: str,
        chain_id: int | None,
        require_typed: bool,
        now: Callable[[], float],
        trail: Trail | None = None,
        limit: Limit = unlimited,
        trace: Callable[[], None] = lambda: None,
    ) -> None:
        self._trail = trail
        self._limit = limit
        self._trace = trace
        self._nonces = nonces
        self._shown = shown
        self._revocations = revocations
        self._tokens = tokens
        self._provider_address = provider_address
        self._chain_id = chain_id
        self._require_typed = require_typed
        self._now = now

    async def identify(self, claim: Claim) -> Caller:
        """Check signature or token, then that the nonce is fresh.

        Raises SignatureError in one of its forms, NonceInvalid, or InvalidRequest.
        """
        _asked(claim)
        if not claim.signature and not claim.token:
            raise SignatureMissing(
                "Invalid signature provided. Please check the nonce or documentId."
            )
        if claim.signature:
            caller = await self._signer(claim)
        else:
            caller = Caller(claim.address.lower(), read_nonce(claim.nonce, self._now()))
            await self.read_token(claim.token, claim.address)
        used = await self._require_fresh(caller)
        again = bool(claim.signature) and not self._is_new(caller)
        await self._show(caller, claim.operation, used, self._shown.claim)
        # Not before: what was signed for something else, or is used up, anybody may show who
        # has seen it. It must not speak in its wallet's name, nor eat up what that may ask.
        asking().actor = caller.address
        self._limit(caller.address, again)
        return caller

    async def recognise(self, claim: Claim) -> Caller:
        """As :meth:`identify`, for a question that changes nothing.

        A token needs no nonce; a signed nonce may be shown again until a greater one is
        used up.
        """
        _asked(claim)
        if not claim.signature:
            claims = await self.read_token(claim.token, claim.address)
            self._limit(claims.address, False)
            return Caller(claims.address, None)
        caller = await self._signer(claim)
        used = await self._require_fresh(caller)
        again = caller.text is None or not self._is_new(caller)
        await self._show(caller, claim.operation, used, self._shown.question)
        self._limit(caller.address, again)
        return caller

    async def read_token(self, token: str, address: str) -> Claims:
        """The claims of a living token of this wallet. Raises TokenInvalid and its kin."""
        claims = self._tokens.read(token, self._now())
        if claims.address != address.lower():
            raise TokenInvalid("Token is invalid.")
        if await self._revocations.revoked(claims.jti):
            raise TokenRevoked("Token is deleted.")
        return claims

    def consume(self, caller: Caller) -> Work[None]:
        """The unit of work that uses up the caller's nonce; commits with what it allows, and
        with the record of it in the audit log."""
        used_up = self._used_up(caller)
        return used_up if self._trail is None else self._trail.recording(used_up)

    async def spend(self, caller: Caller, *, idly: bool = False) -> None:
        """Use up the caller's nonce alone, with its record; durable on return. ``idly`` for
        what any wallet may do that nobody has ever seen. Raises NonceTooLow."""
        if idly:
            self._trace()
        if self._trail is not None:
            await self._trail.write(self._used_up(caller))
        elif caller.nonce is not None:
            await self._nonces.spend(caller.address, caller.nonce, caller.text)

    async def bind(self, caller: Caller) -> None:
        """Keep the caller's nonce good for another try, and the text for no other nonce;
        durable on return. Raises SignatureWrong."""
        if caller.nonce is not None and caller.text is not None:
            await self._nonces.bind(caller.address, caller.nonce, caller.text)

    async def last_nonce(self, address: str) -> int:
        """The last nonce used, ``FIRST_NONCE`` for an unknown wallet. Writes nothing."""
        used = await self._nonces.last(address) or FIRST_NONCE
        return max(used, await self._shown.last(address.lower()))

    def _used_up(self, caller: Caller) -> Work[None]:
        if caller.nonce is None:
            return nothing
        return self._nonces.consume(caller.address, caller.nonce, caller.text)

    async def _require_fresh(self, caller: Caller) -> int | None:
        """Refuse cheaply what could not be consumed later anyhow; the last nonce used."""
        used = await self._nonces.last(caller.address)
        if caller.nonce is not None and used is not None and caller.nonce <= used:
            raise NonceTooLow(used, caller.nonce)
        return used

    def _is_new(self, caller: Caller) -> bool:
        """Whether what was signed is shown here for the first time, as far as is known."""
        if caller.nonce is None:
            return False
        return caller.text is None or not self._shown.has(caller.address, caller.text.digest)

    async def _show(self, caller: Caller, operation: str, used: int | None, show: Show) -> None:
        """Have the text that was signed stand for this operation and nonce alone.

        One that was served with another nonce is refused already here, so that this nonce
        gets nowhere. A wallet that uses nanoseconds has no such texts to look up.
        """
        if caller.text is None or caller.nonce is None:
            return
        wallet, nonce, digest = caller.address, caller.nonce, caller.text.digest
        try:
            if used is not None and used < _NANOSECONDS and not self._shown.has(wallet, digest):
                await self._nonces.require_unbound(wallet, nonce, caller.text)
            await show(wallet, digest, operation, nonce, known=used is not None)
        except SignatureWrong:
            await self._tell_another(wallet, nonce)
            raise

    async def _tell_another(self, wallet: str, nonce: int) -> None:
        """A client that asked for the last nonce and took the next must not be told the same
        again. Any other nonce may be a stranger's reading and moves nothing."""
        if nonce == await self.last_nonce(wallet) + 1:
            await self._shown.skip(wallet, nonce)

    async def _signer(self, claim: Claim) -> Caller:
        """The wallet and the nonce that it has signed; None where it signed a text without."""
        wallet = claim.address.lower()
        if claim.expiry is not None or self._require_typed:
            nonce = read_nonce(claim.nonce, self._now())
            self._verify_typed(claim, nonce)
            return Caller(wallet, nonce)
        if claim.nonceless_text is not None and _signed(claim, [claim.nonceless_text]):
            return Caller(wallet, None)
        sent = await self._nonce_text(claim)
        nonce = read_nonce(sent, self._now())
        text = _signed(claim, claim.texts(str(sent)))
        if text is None:
            raise SignatureWrong(
                f"Invalid signature for ethereum address {claim.address}. Please check the nonce"
                f" or documentId: {claim.words} was expected to be signed, each part as sent."
            )
        return Caller(wallet, nonce, text)

    async def _nonce_text(self, claim: Claim) -> object:
        """The nonce as sent. Where it may be missing, the one the client must have used.

        ocean.js up to 3.4 signs a delete (before 3.1 also a stop) with the nonce after the
        last one and then forgets to send it. Trying that one accepts just this signature,
        and consuming it keeps the request single-use.
        """
        if claim.nonce in (None, "") and claim.nonce_optional:
            return await self.last_nonce(claim.address) + 1
        return claim.nonce

    def _verify_typed(self, claim: Claim, nonce: int) -> None:
        expiry = _whole_number(claim.expiry)
        if expiry is None:
            raise SignatureWrong(
                "Invalid signature: a typed signature (EIP-712) with an expiry in seconds"
                " since the epoch is needed."
            )
        if expiry <= self._now():
            raise SignatureWrong("Invalid signature: its expiry is over.")
        request = TypedRequest(
            claim.address, claim.operation, claim.job_id, claim.parameters, nonce, expiry
        )
        digest = request.digest(self._provider_address, self._chain_id)
        if recover(digest, claim.signature) != claim.address.lower():
            raise SignatureWrong(
                f"Invalid signature for ethereum address {claim.address}: typed data of"
                f" {claim.operation} with these parameters was expected to be signed."
            )


def _asked(claim: Claim) -> None:
    """For the audit log: what the request asks for, by whatever right."""
    by = "token" if not claim.signature else "signature" if claim.expiry is None else "typed"
    jobs = [claim.job_id] if claim.job_id else []
    asking().about(KINDS.get(claim.operation, claim.operation), *jobs, by=by)


def read_nonce(value: object, now: float) -> int:
    """A nonce from text or JSON: decimal digits, positive, at most a day ahead in
    nanoseconds. Raises NonceInvalid."""
    nonce = _whole_number(value)
    if nonce is None:
        raise NonceInvalid("The nonce must be a number.")
    if nonce == 0:
        raise NonceInvalid("The nonce must be at least 1.")
    if nonce > (now + _AHEAD_S) * 1_000_000_000:
        raise NonceInvalid("The nonce is too far ahead of the time in nanoseconds.")
    return nonce


def _whole_number(value: object) -> int | None:
    """One spelling a number: no sign, blank, fraction or leading zero."""
    if type(value) is int:
        return value if value >= 0 else None
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        return None
    if len(value) > _MAX_DIGITS or (value[0] == "0" and value != "0"):
        return None
    return int(value)


def _signed(claim: Claim, texts: Sequence[str]) -> SignedText | None:
    """That of ``texts`` which the wallet has signed, None if none."""
    wallet = claim.address.lower()
    for text in texts:
        signed, signer = _recovered(text, claim.signature)
        if signer == wallet:
            return signed
    return None


@lru_cache(maxsize=_REMEMBERED)
def _recovered(text: str, signature: str) -> tuple[SignedText, str]:
    """A text and who signed it. Clients that poll send the same signed question again and
    again, and recovering the key is most of what answering it costs."""
    signed = SignedText.of(text)
    return signed, recover(signed.digest, signature)
