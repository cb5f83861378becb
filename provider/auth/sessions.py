"""Tokens as the API hands them out: asked for and given back by signed requests."""

from __future__ import annotations

from collections.abc import Callable

from provider.auditing.asking import asking
from provider.auth.caller import Callers, Claim
from provider.auth.revocations import Revocations
from provider.auth.tokens import Tokens


class Sessions:
    """Opens and closes sessions. ``now`` gives seconds since the epoch."""

    def __init__(
        self,
        *,
        callers: Callers,
        tokens: Tokens,
        revocations: Revocations,
        now: Callable[[], float],
    ) -> None:
        self._callers = callers
        self._tokens = tokens
        self._revocations = revocations
        self._now = now

    async def open(self, claim: Claim, expires_at: int) -> str:
        """A token for the signer. Raises SignatureError and its kin, InvalidRequest."""
        token = self._tokens.issue(claim.address, expires_at, self._now())
        caller = await self._callers.identify(claim)
        asking().about("token_created", until=expires_at)
        await self._callers.spend(caller, idly=True)
        return token

    async def close(self, claim: Claim, token: str) -> None:
        """Revoke a token for good, also under a bound that is raised later.

        Raises TokenInvalid and its kin, SignatureError.
        """
        caller = await self._callers.identify(claim)
        claims = await self._callers.read_token(token, claim.address)
        asking().about("token_deleted", until=claims.signed_until)
        await self._revocations.revoke(
            claims.jti, claims.signed_until, also=self._callers.consume(caller)
        )
