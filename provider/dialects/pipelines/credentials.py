"""Who calls: an access key and its secret key, in the body or in the headers.

On the wire they are fields of the body. For calls without a body, and for uploads, which are
refused before they come in that way, they may be the headers ``X-Access-Key`` and
``X-Secret-Key`` or ``Authorization: Basic``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from provider.apikeys import HashedKey, KeyRing
from provider.auditing.asking import asking
from provider.errors import ProviderError


class CredentialsWrong(ProviderError):
    """The same for an access key that nobody has, a secret that is not its own, and none."""

    status = 401
    field = "access_key"

    def __init__(self) -> None:
        super().__init__(
            "access_key, secret_key: these are not the keys of a user of this service. Send both"
            " in the body, or by HTTP Basic."
        )


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody claims."""

    access_key: str
    secret_key: str = field(repr=False)


class Users:
    """Those of the configuration."""

    def __init__(self, users: Mapping[str, HashedKey]) -> None:
        self._ring = KeyRing(users)

    async def require(self, claimed: Credentials) -> str:
        """The access key. Raises CredentialsWrong, TooManyChecks."""
        if not await self._ring.matches(claimed.access_key, claimed.secret_key):
            raise CredentialsWrong
        asked = asking()
        asked.actor = f"{asked.actor.partition('/')[0]}/{claimed.access_key}"
        return claimed.access_key


def in_headers(headers: Mapping[str, str]) -> Credentials | None:
    """None where there are none."""
    if "X-Access-Key" in headers:
        return Credentials(headers["X-Access-Key"], headers.get("X-Secret-Key", ""))
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return Credentials("", "")
    access_key, _, secret_key = text.partition(":")
    return Credentials(access_key, secret_key)
