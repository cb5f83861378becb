"""What wallets have shown: signed texts that must not pass for another request.

The plain texts that old clients sign name no operation. A status request is signed with
the same text as a stop, so whoever sees the one could send the other; and ``index`` and
``nonce`` of a result, written side by side, may read as the nonce of something else. A
text that was served is therefore good for its own operation only. It is kept in memory
for wallets that have used a nonce, the latest few of each; the nonces of questions are
written down at an orderly end (docs/decisions/0002).
"""

from __future__ import annotations

from contextlib import suppress

from compute.store.recent import Recent
from provider.auth.nonces import RECENT_WALLETS, Nonces
from provider.errors import NonceTooLow, SignatureWrong

TEXTS_PER_WALLET = 64


class Shown:
    """The signed texts of each wallet, and the greatest nonce among its questions."""

    def __init__(self, nonces: Nonces) -> None:
        self._nonces = nonces
        self._operations: Recent[str, Recent[bytes, str]] = Recent(RECENT_WALLETS)
        self._questions: Recent[str, int] = Recent(RECENT_WALLETS)

    def claim(self, wallet: str, digest: bytes, operation: str) -> None:
        """Reserve a signed text for ``operation``. Raises SignatureWrong if it served another."""
        texts = self._operations.get(wallet)
        if texts is None:
            texts = Recent(TEXTS_PER_WALLET)
            self._operations.put(wallet, texts)
        served = texts.get(digest)
        if served is None:
            texts.put(digest, operation)
        elif served != operation:
            raise SignatureWrong(
                f"Invalid signature: the same text was signed for {served} before."
                " Ask for the last nonce and sign with a greater one."
            )

    def question(self, wallet: str, nonce: int) -> None:
        """Remember the nonce of a signed question. Writes nothing."""
        if nonce > self.last_question(wallet):
            self._questions.put(wallet, nonce)

    def last_question(self, wallet: str) -> int:
        """The greatest nonce of this wallet's questions; 0 if none."""
        return self._questions.get(wallet) or 0

    async def write(self) -> None:
        """Use up the nonces of all questions, so that they stay shown after a restart."""
        for wallet, nonce in self._questions.items():
            with suppress(NonceTooLow):
                await self._nonces.spend(wallet, nonce)
