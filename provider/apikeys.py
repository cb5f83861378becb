"""API keys of callers without a wallet: made, kept as hashes, checked.

A configuration holds ``scrypt$<n>$<r>$<p>$<salt>$<hash>`` for each key, never the key. scrypt
is slow on purpose, so that a stolen file does not give away a secret that somebody made up
himself.

A check costs exactly one scrypt, however many keys there are and whatever is wrong: name, key,
or both missing. So the answer's time tells nothing, and a ring with many keys is no slower.
For that it has to be known before hashing which salt counts. A key that was made here carries
its salt as its first part (:func:`new_key`), which then is the key's id; it is no secret, and
the 256 random bits behind it are. A secret that somebody chose carries nothing: its salt is found
by the name that comes with it, or it is the only one of its ring. All hashes of a ring have the
same cost, or the time would tell which one was looked at.

All rings of a process hash in the same two threads, and only so many callers may wait for
these: a flood of wrong keys takes neither the event loop nor the memory.
A key that was right is remembered by a digest under a secret of this process, so that a
client that asks again and again waits for microseconds. Wrong ones are never remembered.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from provider.errors import ProviderError
from provider.turns import Crowd, Crowded

MOST_KEY_BYTES: Final = 512
"""Longer ones are wrong without a look: nobody makes a thread read megabytes."""

KEY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a key may be called: the name is part of who owns a task."""

AT_ONCE: Final = 2
MOST_WAITING: Final = 64
"""About two seconds of work for the threads."""

_PREFIX: Final = "oc_"
_SALT_BYTES: Final = 16
_SECRET_BYTES: Final = 32
_HASH_BYTES: Final = 32
_MADE: Final = re.compile(_PREFIX + r"[A-Za-z0-9_-]{64}")
_TEXT: Final = re.compile(
    r"scrypt\$([1-9][0-9]{0,6})\$([1-9][0-9]?)\$([1-9])\$([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*)"
)
_REMEMBERED: Final = 4096


class TooManyChecks(ProviderError):
    """So many keys are being checked that one more would wait too long."""

    status = 429

    def __init__(self) -> None:
        super().__init__("Too many keys are being checked; try again in a moment.")


@dataclass(frozen=True, slots=True)
class Cost:
    """How much work a hash is: scrypt's ``n``, ``r``, ``p``. Raises ValueError outside of
    what is safe to keep and safe to compute."""

    n: int = 1 << 14
    r: int = 8
    p: int = 1

    def __post_init__(self) -> None:
        power = self.n & (self.n - 1) == 0
        if not (power and 1 << 14 <= self.n <= 1 << 16 and self.r == 8 and 1 <= self.p <= 4):
            raise ValueError("scrypt's n must be 16384, 32768 or 65536, r 8, p from 1 to 4")

    def hash(self, key: bytes, salt: bytes) -> bytes:
        """The slow one: tens of milliseconds, and 128·n·r bytes of memory meanwhile."""
        room = 128 * self.r * (self.n + self.p + 2) + (1 << 20)
        return hashlib.scrypt(
            key, salt=salt, n=self.n, r=self.r, p=self.p, maxmem=room, dklen=_HASH_BYTES
        )


@dataclass(frozen=True, slots=True)
class HashedKey:
    """What is kept of a key. A field of this type takes the text that :func:`hash_key` made."""

    cost: Cost
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> HashedKey:
        """Raises ValueError, whose text does not repeat what may be a key in clear."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(
                "not the hash of a key; make one with `ocean-compute api-key new` or, of a secret"
                " that you have already, `ocean-compute api-key hash`"
            )
        n, r, p, salt, digest = found.groups()
        cost = Cost(int(n), int(r), int(p))
        hashed = cls(cost, _unpacked(salt), _unpacked(digest))
        if not 16 <= len(hashed.salt) <= 64 or len(hashed.digest) != _HASH_BYTES:
            raise ValueError("the hash of a key is cut off or changed; copy all of it")
        return hashed

    def __str__(self) -> str:
        """Not the text for a file, which belongs in no log: see :func:`hash_key`."""
        return repr(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._validated)

    @classmethod
    def _validated(cls, value: Any) -> HashedKey:
        if isinstance(value, HashedKey):
            return value
        return cls.parse(value if isinstance(value, str) else "")


def new_key() -> str:
    """A key of 256 random bits, its salt in front: ``oc_`` and 64 letters that are safe in a
    URL."""
    return _PREFIX + secrets.token_urlsafe(_SALT_BYTES + _SECRET_BYTES)


def hash_key(key: str, cost: Cost | None = None) -> str:
    """What a configuration holds of ``key``. Takes tens of milliseconds. Raises ValueError
    for a key that could never be right."""
    encoded = _encoded(key)
    if not _possible(encoded):
        raise ValueError(f"a key has from 1 to {MOST_KEY_BYTES} bytes, none of them zero")
    cost, salt = cost or Cost(), _salt_of(key) or secrets.token_bytes(_SALT_BYTES)
    digest = cost.hash(encoded, salt)
    return f"scrypt${cost.n}${cost.r}${cost.p}${_packed(salt)}${_packed(digest)}"


def require_ring(keys: Mapping[str, HashedKey]) -> None:
    """Raise ValueError, naming keys and fix, unless a :class:`KeyRing` can be made of them."""
    by_cost = {hashed.cost: name for name, hashed in keys.items()}
    if len(by_cost) > 1:
        raise ValueError(
            f"{' and '.join(sorted(by_cost.values()))} are hashed at different costs, so that"
            " the time of an answer would tell them apart; make one of them again"
        )
    by_digest: dict[bytes, str] = {}
    for name, hashed in keys.items():
        other = by_digest.setdefault(hashed.digest, name)
        if other != name:
            raise ValueError(f"{other} and {name} are the same key; make each its own")


class Hashing:
    """The threads that hash. ``done`` counts what they did."""

    def __init__(self, *, at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="keys")
        self._crowd = Crowd(at_once + most_waiting)
        self.done = 0

    async def hash(self, cost: Cost, key: bytes, salt: bytes) -> bytes:
        """Raises TooManyChecks."""
        try:
            with self._crowd.enter():
                loop = asyncio.get_running_loop()
                digest = await loop.run_in_executor(self._threads, cost.hash, key, salt)
        except Crowded:
            raise TooManyChecks from None
        self.done += 1
        return digest


@cache
def _shared() -> Hashing:
    return Hashing()


class KeyRing:
    """The keys of one API by name. ``hashing`` stands in for the threads that all share.
    Raises ValueError for keys that cannot be in one ring."""

    def __init__(self, entries: Mapping[str, HashedKey], hashing: Hashing | None = None) -> None:
        require_ring(entries)
        self._entries = dict(entries)
        self._hashing = hashing or _shared()
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[str | None]] = {}
        cost = next((hashed.cost for hashed in entries.values()), Cost())
        self._nobody = HashedKey(
            cost, secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_HASH_BYTES)
        )

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(sorted(self._entries))})"

    async def name_of(self, key: str, name: str = "") -> str | None:
        """Whose key this is, None for one that is wrong. ``name`` is who its bearer says he
        is: it finds a secret that somebody chose, and never decides. Raises TooManyChecks."""
        return await self._checked(key, name, self._salt(key, name))

    async def matches(self, name: str, key: str) -> bool:
        """Whether this is the key of that name. Raises TooManyChecks."""
        entry = self._entries.get(name, self._nobody)
        return await self._checked(key, name, entry.salt) == name

    async def _checked(self, key: str, name: str, salt: bytes) -> str | None:
        """One answer for all that ask the same thing at the same time."""
        encoded = _encoded(key)
        if len(encoded) > MOST_KEY_BYTES:
            return None
        # With the name: equal questions share one answer, and all unknown names one salt.
        asked = self._digest(salt, _encoded(name) + b"\0" + encoded)
        if asked in self._known:
            self._known.move_to_end(asked)
            return self._known[asked]
        check = self._running.get(asked)
        if check is None:
            check = asyncio.create_task(self._check(asked, encoded, salt), name="key check")
            self._running[asked] = check
            check.add_done_callback(lambda task: self._ended(asked, task))
        return await asyncio.shield(check)

    def _ended(self, asked: bytes, check: asyncio.Task[str | None]) -> None:
        del self._running[asked]
        if not check.cancelled():
            check.exception()  # known to whoever waits; it may be that nobody does any more

    async def _check(self, asked: bytes, key: bytes, salt: bytes) -> str | None:
        digest = await self._hashing.hash(self._nobody.cost, key, salt)
        found: str | None = None
        for name, entry in self._entries.items():
            if hmac.compare_digest(digest, entry.digest) and entry.salt == salt:
                found = name
        if found is not None and _possible(key):
            self._known[asked] = found
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return found
        return None

    def _salt(self, key: str, name: str) -> bytes:
        salt = _salt_of(key)
        if salt is not None:
            return salt
        if name in self._entries:
            return self._entries[name].salt
        if len(self._entries) == 1:
            return next(iter(self._entries.values())).salt
        return self._nobody.salt

    def _digest(self, salt: bytes, key: bytes) -> bytes:
        return hashlib.blake2b(salt + b"\0" + key, key=self._secret, digest_size=32).digest()


def _salt_of(key: str) -> bytes | None:
    """The salt that a key carries which was made here."""
    if not _MADE.fullmatch(key):
        return None
    return base64.urlsafe_b64decode(key.removeprefix(_PREFIX))[:_SALT_BYTES]


def _encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _possible(key: bytes) -> bool:
    """scrypt takes a key and the same with zero bytes behind it for one."""
    return 0 < len(key) <= MOST_KEY_BYTES and b"\0" not in key


def _packed(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
