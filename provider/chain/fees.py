"""What a provider's fee costs, what is signed of it, and who signed one. Pure, whole numbers.

A fee is a promise in both directions: the datatoken's contract takes ``amount`` from whoever
orders, but only with this provider's signature; and the provider later finds in the event
what it had asked for. The contract does not sign over everything that matters (no chain id,
no price), so those stand in ``data``, which is signed: :class:`FeeTerms`.

Preimage of the signature, packed as the contract packs it: data, address of the provider,
address of the token, amount and validUntil as 32 bytes each; Keccak, then EIP-191 over the
32 bytes. Amounts are in base units of the token. A part of a base unit is rounded up, and no
float ever takes part.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from provider import bounded_json
from provider.auth.keccak import keccak256
from provider.auth.signatures import is_address, recover
from provider.chain.events import ProviderFee
from provider.errors import SignatureMalformed
from provider.keys import ProviderKey

ZERO_ADDRESS = "0x" + "0" * 40
MAX_DATA_BYTES = 4096
PRICE_HOLDS_S = 3600
"""How long after a quote an order may be made at the price of then."""

_PREFIX = b"\x19Ethereum Signed Message:\n32"
_MAX_UINT = (1 << 256) - 1
_MAX_CHAIN_ID = (1 << 63) - 1
_RATE = re.compile(r"[0-9]{1,78}(\.[0-9]{1,36})?")
_EXACT = Context(prec=400)
_MAX_SECONDS = 1e11


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """What a fee is for: ``providerData``. Other providers read its first four parts.

    ``environment`` is None for a download. ``quoted_at`` is in seconds since the epoch,
    ``per_minute`` the price in base units, None where none was asked. Quotes of older
    providers have neither ``chain_id`` nor ``per_minute``.
    """

    environment: str | None
    quoted_at: float
    datatoken: str
    service_id: str
    chain_id: int | None = None
    per_minute: Decimal | None = None

    def encode(self) -> bytes:
        """Compact JSON."""
        parts: dict[str, object] = {
            "environment": self.environment,
            "timestamp": self.quoted_at,
            "dt": self.datatoken,
            "id": self.service_id,
        }
        if self.chain_id is not None:
            parts["chainId"] = self.chain_id
        if self.per_minute is not None:
            parts["perMinute"] = _plain(self.per_minute)
        return json.dumps(parts, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes) -> FeeTerms | None:
        """None for anything that no provider writes: strangers choose what is in an event."""
        if len(data) > MAX_DATA_BYTES:
            return None
        try:
            parts = bounded_json.loads(data, max_depth=4)
        except ValueError:
            return None
        if not isinstance(parts, Mapping) or not _is_readable(parts):
            return None
        rate = parts.get("perMinute")
        return cls(
            environment=parts.get("environment"),
            quoted_at=float(parts["timestamp"]),
            datatoken=parts["dt"],
            service_id=parts["id"],
            chain_id=parts.get("chainId"),
            per_minute=None if rate is None else Decimal(rate),
        )

    def seconds_until(self, valid_until: int) -> int:
        """Whole seconds from the quote to ``valid_until``, a begun one counted; may be below 0."""
        return valid_until - math.floor(self.quoted_at)


@dataclass(frozen=True, slots=True)
class FeeQuote:
    """A fee as ``startOrder`` and ``reuseOrder`` take it. ``valid_until`` is 0 for ever."""

    address: str
    token: str
    amount: int
    data: bytes
    v: int
    r: bytes
    s: bytes
    valid_until: int


def per_minute_units(price: Decimal, decimals: int) -> Decimal:
    """A price in whole tokens as one in base units, exactly; it may have a fraction."""
    return price.scaleb(decimals, context=_EXACT)


def cost(seconds: int, per_minute: Decimal) -> int:
    """Base units for so many seconds, rounded up. Raises ValueError below no time or price."""
    if seconds < 0 or not per_minute.is_finite() or per_minute < 0:
        raise ValueError("neither time nor price can be negative")
    return math.ceil(Fraction(per_minute) * seconds / 60)


def due(seconds: int, price: Decimal, decimals: int) -> int:
    """Base units for so many seconds at a price per minute in whole tokens, rounded up."""
    return cost(seconds, per_minute_units(price, decimals))


def sign(
    key: ProviderKey, *, token: str, amount: int, terms: FeeTerms, valid_until: int
) -> FeeQuote:
    """A fee with the provider's signature.

    Raises ValueError for numbers that a contract cannot hold and for terms that could not
    be read back.
    """
    if not 0 <= amount <= _MAX_UINT or not 0 <= valid_until <= _MAX_UINT:
        raise ValueError("not an unsigned number of 256 bits")
    data = terms.encode()
    if FeeTerms.parse(data) is None:
        raise ValueError("terms of a fee that cannot be read back")
    address = key.address.lower()
    digest = fee_digest(data, address, token, amount, valid_until)
    raw = bytes.fromhex(key.sign_digest(digest)[2:])
    return FeeQuote(
        address=address,
        token=token.lower(),
        amount=amount,
        data=data,
        v=raw[64],
        r=raw[:32],
        s=raw[32:64],
        valid_until=valid_until,
    )


def fee_digest(data: bytes, address: str, token: str, amount: int, valid_until: int) -> bytes:
    """The 32 bytes that are signed for a fee."""
    packed = b"".join(
        (
            data,
            bytes.fromhex(address[2:]),
            bytes.fromhex(token[2:]),
            amount.to_bytes(32),
            valid_until.to_bytes(32),
        )
    )
    return keccak256(_PREFIX + keccak256(packed))


def fee_signer(fee: FeeQuote | ProviderFee) -> str | None:
    """The lower-case address whose key signed a fee; None when no contract would accept it."""
    address = fee.address if isinstance(fee, FeeQuote) else fee.fee_address
    if fee.v not in (27, 28):
        return None
    digest = fee_digest(fee.data, address, fee.token, fee.amount, fee.valid_until)
    try:
        return recover(digest, fee.r.hex() + fee.s.hex() + f"{fee.v:02x}")
    except SignatureMalformed:
        return None


def pays(
    fee: ProviderFee, terms: FeeTerms, paid_at: int, *, token: str, per_minute: Decimal
) -> bool:
    """Whether a fee pays for all its time, from the quote to its ``valid_until``.

    At the price of today, or at that of the quote if the fee got on the chain soon enough
    afterwards (``paid_at``, seconds since the epoch). A time without a price that was quoted
    once is no promise: only a real price is held.
    """
    if per_minute == 0:
        return True
    seconds = terms.seconds_until(fee.valid_until)
    if seconds <= 0 or fee.token != token.lower() or fee.token == ZERO_ADDRESS:
        return False
    rates = [per_minute]
    if terms.per_minute and paid_at - terms.quoted_at <= PRICE_HOLDS_S:
        rates.append(terms.per_minute)
    return fee.amount >= cost(seconds, min(rates))


def _is_readable(parts: Mapping[str, Any]) -> bool:
    environment, moment = parts.get("environment"), parts.get("timestamp")
    chain_id, rate = parts.get("chainId"), parts.get("perMinute")
    return (
        (environment is None or isinstance(environment, str))
        and isinstance(moment, int | float)
        and not isinstance(moment, bool)
        and 0 <= moment < _MAX_SECONDS
        and is_address(parts.get("dt"))
        and isinstance(parts.get("id"), str)
        and (chain_id is None or _is_chain_id(chain_id))
        and (rate is None or (isinstance(rate, str) and _RATE.fullmatch(rate) is not None))
    )


def _is_chain_id(value: object) -> bool:
    return type(value) is int and 0 < value <= _MAX_CHAIN_ID


def _plain(number: Decimal) -> str:
    """Digits without an exponent and without zeros that say nothing."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
