"""What wallets have shown: signed texts that must not pass for another request.

The plain texts that old clients sign name no operation. A status request is signed with
the same text as a stop, so whoever sees the one could send the other; and ``index`` and
``nonce`` of a result, written side by side, may read as the nonce of something else. What
used up its nonce is in the database (:mod:`provider.auth.nonces`). The rest, questions
above all, is remembered: each text is good for the operation and nonce it was
shown for. Of a wallet's texts the latest few are kept; nonces up to those of forgotten
ones are good for questions only (docs/decisions/0002).

One process alone keeps it in memory, here. What memory cannot hold, and everything at an
orderly end, is written down as used up. Several processes keep it in their database:
:mod:`provider.auth.shown_texts`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field

from provider.auth.nonces import RECENT_WALLETS, Nonces
from provider.errors import NonceTooLow, SignatureWrong

TEXTS_PER_WALLET = 64
STRANGERS = 4096
"""Wallets that have used no nonce: anyone can make as many as they like."""


@dataclass(slots=True)
class _Wallet:
    """``asked`` is the greatest nonce of its questions, ``floor`` of its forgotten texts."""

    texts: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    asked: int = 0
    floor: int = 0

    def greatest(self) -> int:
        return max(self.asked, self.floor, *(nonce for _, nonce in self.texts.values()))

    def keep(self, digest: bytes, operation: str, nonce: int) -> None:
        self.texts[digest] = (operation, nonce)
        while len(self.texts) > TEXTS_PER_WALLET:
            _, forgotten = self.texts.pop(next(iter(self.texts)))
            self.floor = max(self.floor, forgotten)


class Shown(ABC):
    """The signed texts of each wallet, addresses in lower case."""

    @abstractmethod
    async def claim(
        self, wallet: str, digest: bytes, operation: str, nonce: int, *, known: bool
    ) -> None:
        """Reserve a signed text for ``operation`` with ``nonce``, both found to be good.

        ``known``: the wallet has used a nonce. Raises SignatureWrong if the text was shown
        for anything else, NonceTooLow if it may have been.
        """

    @abstractmethod
    async def question(
        self, wallet: str, digest: bytes, operation: str, nonce: int, *, known: bool
    ) -> None:
        """As :meth:`claim`, for what does not use up its nonce and may come again and again."""

    @abstractmethod
    def has(self, wallet: str, digest: bytes) -> bool:
        """Whether the text is remembered by this process. False says nothing."""

    @abstractmethod
    async def skip(self, wallet: str, nonce: int) -> None:
        """Count ``nonce``, which a text of this wallet was refused with, as one that was asked
        with."""

    @abstractmethod
    async def last(self, wallet: str) -> int:
        """The nonce that a new request of this wallet must exceed to be good for anything
        here; 0 if none."""

    @abstractmethod
    async def tidy(self) -> None:
        """Write down as used up what need not be remembered any more. To be called now and
        then."""

    @abstractmethod
    async def write(self) -> None:
        """To be called at an orderly end, so that all texts stay shown after a restart."""


class ShownHere(Shown):
    """In this process's memory."""

    def __init__(
        self, nonces: Nonces, *, wallets: int = RECENT_WALLETS, strangers: int = STRANGERS
    ) -> None:
        self._nonces = nonces
        self._wallets: dict[str, _Wallet] = {}
        self._strangers: dict[str, _Wallet] = {}
        self._sizes = ((self._wallets, wallets), (self._strangers, strangers))

    async def claim(
        self, wallet: str, digest: bytes, operation: str, nonce: int, *, known: bool
    ) -> None:
        entry = self._entry(wallet, known=known)
        self._reserve(entry, digest, operation, nonce)
        await self._shrink()

    async def question(
        self, wallet: str, digest: bytes, operation: str, nonce: int, *, known: bool
    ) -> None:
        entry = self._entry(wallet, known=known)
        self._reserve(entry, digest, operation, nonce, question=True)
        entry.asked = max(entry.asked, nonce)
        await self._shrink()

    def has(self, wallet: str, digest: bytes) -> bool:
        entry = self._wallets.get(wallet) or self._strangers.get(wallet)
        return entry is not None and digest in entry.texts

    async def skip(self, wallet: str, nonce: int) -> None:
        entry = self._entry(wallet, known=wallet not in self._strangers)
        entry.asked = max(entry.asked, nonce)

    async def last(self, wallet: str) -> int:
        entry = self._wallets.get(wallet) or self._strangers.get(wallet)
        return max(entry.asked, entry.floor) if entry else 0

    async def tidy(self) -> None:
        """Nothing: memory is tidied whenever it grows."""

    async def write(self) -> None:
        """Use up the nonces of all texts."""
        entries = [*self._wallets.items(), *self._strangers.items()]
        await asyncio.gather(*(self._write(wallet, entry.greatest()) for wallet, entry in entries))

    def _entry(self, wallet: str, *, known: bool) -> _Wallet:
        """What is remembered of a wallet, from now on as the one used last."""
        entry = self._wallets.pop(wallet, None) or self._strangers.pop(wallet, None) or _Wallet()
        (self._wallets if known else self._strangers)[wallet] = entry
        return entry

    def _reserve(
        self, entry: _Wallet, digest: bytes, operation: str, nonce: int, *, question: bool = False
    ) -> None:
        served = entry.texts.pop(digest, None)
        if served is None and not question and nonce <= entry.floor:
            raise NonceTooLow(entry.floor, nonce)
        shown = served or (operation, nonce)
        entry.keep(digest, *shown)
        if shown != (operation, nonce):
            raise shown_for(shown[0])

    async def _shrink(self) -> None:
        """Forget the wallets used longest ago, but not before what they showed is written."""
        for wallets, size in self._sizes:
            while len(wallets) > size:
                wallet, entry = next(iter(wallets.items()))
                written = entry.greatest()
                await self._write(wallet, written)
                if wallets.get(wallet) is entry and entry.greatest() == written:
                    del wallets[wallet]

    async def _write(self, wallet: str, nonce: int) -> None:
        if nonce > (await self._nonces.last(wallet) or 0):
            with suppress(NonceTooLow):
                await self._nonces.spend(wallet, nonce)


def shown_for(operation: str) -> SignatureWrong:
    """The refusal of a text that was shown for another operation, or with another nonce."""
    return SignatureWrong(
        f"Invalid signature: the same text was signed for {operation} before."
        " Ask for the last nonce and sign with a greater one."
    )
