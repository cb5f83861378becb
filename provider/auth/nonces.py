"""Each wallet's last nonce: what makes a signed request good for one time only.

There is one row a wallet and one statement that changes it: it stores the new nonce only
if that is greater, so of two requests with one nonce exactly one is served, however they
race. It takes the nonces of several wallets at once: those that come while a commit is
awaited cost one statement together. Asking for the last nonce writes nothing. The memory in
front of the table follows commits: it may lag behind them for a moment but is never ahead.
Where other processes use nonces up, too, there is none, and the table is asked.

A plain text whose digits can be read as a greater nonce is bound to the one it was served
with, in the same transaction, until no reading of it is greater than the last nonce
(docs/decisions/0002). Texts with nonces in nanoseconds never need this: every digit before
such a nonce makes it greater than a row holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ARRAY, Connection, TextClause, and_, bindparam, delete, select
from sqlalchemy import text as sql
from sqlalchemy.types import BigInteger, LargeBinary, Text

from compute.store.base import Database, Joint, Work, after_commit
from compute.store.recent import Recent
from compute.store.upserts import ByDialect
from provider.auth.tables import nonces, used_texts
from provider.auth.texts import LARGEST_NONCE, SignedText
from provider.errors import NonceInvalid, NonceTooLow, SignatureWrong

RECENT_WALLETS = 65536

_FORGET_EVERY = 16
"""Texts that are good for nothing any more go at each nonce that this divides."""

_SAME_TEXT = and_(
    used_texts.c.address == bindparam("address"),
    used_texts.c.reach == bindparam("reach"),
    used_texts.c.digest == bindparam("digest"),
)
_CONSUME: Final = (
    "INSERT INTO nonces (address, nonce) SELECT asked.address, asked.nonce FROM {asked}"
    " WHERE NOT EXISTS (SELECT 1 FROM used_texts WHERE used_texts.address = asked.address"
    " AND used_texts.reach = asked.reach AND used_texts.digest = asked.digest"
    " AND used_texts.nonce <> asked.nonce)"
    " ON CONFLICT (address) DO UPDATE SET nonce = excluded.nonce"
    " WHERE nonces.nonce < excluded.nonce"
    " RETURNING address"
)
"""Of ``asked``, which names each wallet once. Tells the wallets whose nonce is used up now."""

_CONSUME_SQLITE: Final = sql(
    _CONSUME.format(
        asked="(SELECT json_extract(value, '$[0]') AS address,"
        " json_extract(value, '$[1]') AS nonce, json_extract(value, '$[2]') AS reach,"
        " json_extract(value, '$[3]') AS digest FROM json_each(:asked)) AS asked"
    ).replace("used_texts.digest =", "lower(hex(used_texts.digest)) =")
)
_CONSUME_POSTGRESQL: Final[TextClause] = sql(
    _CONSUME.format(
        asked="unnest(:addresses, :nonces, :reaches, :digests)"
        " AS asked (address, nonce, reach, digest)"
    )
).bindparams(
    bindparam("addresses", type_=ARRAY(Text)),
    bindparam("nonces", type_=ARRAY(BigInteger)),
    bindparam("reaches", type_=ARRAY(BigInteger)),
    bindparam("digests", type_=ARRAY(LargeBinary)),
)
_LAST = select(nonces.c.nonce).where(nonces.c.address == bindparam("address"))
_BIND = ByDialect(lambda upsert: upsert(used_texts).on_conflict_do_nothing())
_BOUND = select(used_texts.c.nonce).where(_SAME_TEXT)
_FORGET = delete(used_texts).where(
    used_texts.c.address == bindparam("address"), used_texts.c.reach <= bindparam("nonce")
)


class _Use(NamedTuple):
    """One nonce to be used up; ``text`` is None where none was signed, or typed data."""

    wallet: str
    nonce: int
    text: SignedText | None


class Nonces:
    """Last nonces by wallet; addresses in any casing."""

    def __init__(self, database: Database, *, recent: int = RECENT_WALLETS) -> None:
        self._database = database
        self._recent: Recent[str, int] = Recent(recent)

    async def last(self, address: str) -> int | None:
        """The last nonce this wallet has used, None before its first."""
        wallet = address.lower()
        known = None if self._database.shared else self._recent.get(wallet)
        if known is not None:
            return known
        stored = await self._database.read(lambda connection: _stored(connection, wallet))
        if stored is not None:
            self._remember(wallet, stored)
        return stored

    def consume(self, address: str, nonce: int, text: SignedText | None = None) -> Work[None]:
        """The unit of work that uses up ``nonce``, to be committed with what it allows.

        It raises NonceTooLow unless the nonce is greater than the last one, SignatureWrong
        if the plain ``text`` was served with another. Raises NonceInvalid at once for a
        number that no row can hold.
        """
        wallet = address.lower()
        if not 0 <= nonce <= LARGEST_NONCE:
            raise NonceInvalid("The nonce is out of range.")

        return Joint(self._use_up, _Use(wallet, nonce, text))

    def _use_up(self, connection: Connection, uses: Sequence[_Use]) -> list[Exception | None]:
        outcomes: dict[int, Exception | None] = {}
        used_up = []
        for turn in _turns(uses):
            done = _consumed(connection, [uses[index] for index in turn])
            for index in turn:
                use = uses[index]
                if use.wallet in done:
                    outcomes[index] = None
                    used_up.append(use)
                    _bind_used(connection, use)
                else:
                    outcomes[index] = _refusal(connection, use)
        after_commit(connection, lambda: self._remember_all(used_up))
        return [outcomes[index] for index in range(len(uses))]

    async def spend(self, address: str, nonce: int, text: SignedText | None = None) -> None:
        """Use up ``nonce`` alone. Raises NonceTooLow, NonceInvalid, SignatureWrong."""
        await self._database.write(self.consume(address, nonce, text))

    async def bind(self, address: str, nonce: int, text: SignedText) -> None:
        """Have ``text`` read with ``nonce`` only, from now on, without using that up.

        Raises SignatureWrong if it was read with another before.
        """
        wallet = address.lower()
        if not text.ambiguous(nonce) or await self.require_unbound(address, nonce, text):
            return
        await self._database.write(lambda connection: _bind(connection, wallet, nonce, text))
        await self.require_unbound(address, nonce, text)

    async def require_unbound(self, address: str, nonce: int, text: SignedText) -> bool:
        """Raises SignatureWrong if ``text`` was read with another nonce before. True if with
        this one."""
        row = _row(address.lower(), nonce, text)
        bound = await self._database.read(
            lambda connection: connection.execute(_BOUND, row).scalar_one_or_none()
        )
        if bound not in (None, nonce):
            raise _other_reading()
        return bound is not None

    def _remember_all(self, uses: Sequence[_Use]) -> None:
        for use in uses:
            self._remember(use.wallet, use.nonce)

    def _remember(self, wallet: str, nonce: int) -> None:
        """Nonces only grow, so of two values the greater is the later."""
        if not self._database.shared:
            self._recent.put(wallet, max(nonce, self._recent.peek(wallet) or 0))


def _stored(connection: Connection, wallet: str) -> int | None:
    return connection.execute(_LAST, {"address": wallet}).scalar_one_or_none()


def _turns(uses: Sequence[_Use]) -> Iterator[Sequence[int]]:
    """Indexes of all uses, so that a turn has each wallet once and a wallet's come one after
    the other."""
    left: Sequence[int] = range(len(uses))
    while left:
        turn: dict[str, int] = {}
        for index in left:
            turn.setdefault(uses[index].wallet, index)
        yield list(turn.values())
        left = [index for index in left if turn[uses[index].wallet] != index]


def _consumed(connection: Connection, uses: Sequence[_Use]) -> set[str]:
    """The wallets among them, each of which is there once, whose nonce was good."""
    if connection.dialect.name == "sqlite":
        done = connection.execute(_CONSUME_SQLITE, {"asked": _as_json(uses)})
    else:
        done = connection.execute(_CONSUME_POSTGRESQL, _as_arrays(uses))
    return set(done.scalars())


def _as_json(uses: Sequence[_Use]) -> str:
    rows = [
        (use.wallet, use.nonce, use.text.reach, use.text.digest.hex())
        if use.text
        else (use.wallet, use.nonce)
        for use in uses
    ]
    return json.dumps(rows)


def _as_arrays(uses: Sequence[_Use]) -> Mapping[str, list[Any]]:
    return {
        "addresses": [use.wallet for use in uses],
        "nonces": [use.nonce for use in uses],
        "reaches": [use.text.reach if use.text else None for use in uses],
        "digests": [use.text.digest if use.text else None for use in uses],
    }


def _refusal(connection: Connection, use: _Use) -> Exception:
    """Why this nonce could not be used up."""
    last = _stored(connection, use.wallet) or 0
    return NonceTooLow(last, use.nonce) if use.nonce <= last else _other_reading()


def _bind_used(connection: Connection, use: _Use) -> None:
    """Bind the text to the nonce that was used up, if it says a greater one as well."""
    wallet, nonce, text = use
    if text is not None and text.ambiguous(nonce):
        if nonce % _FORGET_EVERY == 0:
            connection.execute(_FORGET, {"address": wallet, "nonce": nonce})
        _bind(connection, wallet, nonce, text)


def _bind(connection: Connection, wallet: str, nonce: int, text: SignedText) -> None:
    connection.execute(_BIND[connection.dialect.name], _row(wallet, nonce, text))


def _row(wallet: str, nonce: int, text: SignedText) -> dict[str, object]:
    return {"address": wallet, "nonce": nonce, "reach": text.reach, "digest": text.digest}


def _other_reading() -> SignatureWrong:
    return SignatureWrong(
        "Invalid signature: the same text was signed for another nonce before."
        " Ask for the last nonce and sign with a greater one."
    )
