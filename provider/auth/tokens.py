"""Tokens that stand in for a signature: JSON Web Tokens with a bounded life.

The algorithm is pinned (HS256), every claim is required, each token has a random ``jti``
so that revoking one can never be undone by asking for the same again, and the secret is
derived from the provider's key for this purpose alone. Time is the caller's: nothing
here reads a clock. Whether a token was revoked is the database's to say (``revocations``).

PyJWT is imported when the first token comes: with what it needs it is a tenth of a small
service's memory.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from provider.auth.signatures import is_address, to_checksum
from provider.errors import InvalidRequest, SettingsInvalid, TokenExpired, TokenInvalid

PURPOSE = "auth tokens"
"""What to derive the secret for: ``ProviderKey.derive(PURPOSE)``."""

_ALGORITHM = "HS256"
_CLAIMS = ["address", "exp", "iat", "jti"]
_MIN_SECRET_BYTES = 32
_MAX_TOKEN_CHARS = 1024


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says. ``address`` is lower-case, ``expires_at`` in epoch seconds;
    ``signed_until`` is what stands in it, whatever today's bound."""

    address: str
    jti: str = field(repr=False)
    expires_at: int
    signed_until: int = 0


class Tokens:
    """Issues and reads tokens. ``max_age_s`` bounds the life of each."""

    def __init__(self, secret: bytes, max_age_s: int) -> None:
        if len(secret) < _MIN_SECRET_BYTES:
            raise SettingsInvalid(f"The token secret must have {_MIN_SECRET_BYTES} bytes or more.")
        self._secret = secret
        self._max_age_s = max_age_s

    def issue(self, address: str, expires_at: int, now: float) -> str:
        """A new token. Raises InvalidRequest for a time that is over or too far ahead."""
        if expires_at <= now:
            raise InvalidRequest({"expiration": ["Invalid timestamp provided."]})
        if expires_at > now + self._max_age_s:
            raise InvalidRequest(
                {"expiration": [f"The expiration may be at most {self._max_age_s} seconds ahead."]}
            )
        claims = {
            "address": to_checksum(address),
            "exp": expires_at,
            "iat": int(now),
            "jti": secrets.token_urlsafe(16),
        }
        import jwt

        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    def read(self, token: str, now: float) -> Claims:
        """The claims of a token of ours that still lives. Raises TokenInvalid, TokenExpired.

        A token issued under a longer ``max_age_s`` ends when today's bound says.
        """
        claims = self._verified(token)
        expires_at = min(claims["exp"], claims["iat"] + self._max_age_s)
        if expires_at <= now:
            raise TokenExpired("Token is expired.")
        return Claims(claims["address"].lower(), claims["jti"], expires_at, claims["exp"])

    def _verified(self, token: str) -> dict[str, Any]:
        if len(token) > _MAX_TOKEN_CHARS:
            raise TokenInvalid("Token is invalid.")
        import jwt

        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                options={"require": _CLAIMS, "verify_exp": False, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, UnicodeEncodeError):
            raise TokenInvalid("Token is invalid.") from None
        if not _well_formed(claims):
            raise TokenInvalid("Token is invalid.")
        return claims


def _well_formed(claims: dict[str, Any]) -> bool:
    return (
        is_address(claims["address"])
        and isinstance(claims["jti"], str)
        and all(type(claims[name]) is int for name in ("exp", "iat"))
    )
