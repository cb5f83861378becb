"""The options that say with which chain, and how much, to pay."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from provider.cli.output import say
from provider.client.errors import ClientUsageError, plain
from provider.client.ordering import Purchase
from provider.client.wallet import load_signer

if TYPE_CHECKING:
    from provider.client.onchain import OnChain


_ORDER_MISSING = re.compile(r"transferTxId(: is missing| field is required)")


@dataclass(frozen=True, slots=True)
class Purse:
    """A node of the chain (its URL may hold a key of its own), the addresses of the contracts
    there, and the most that the provider may ask."""

    rpc: str = field(repr=False)
    address_file: Path | None = None
    most_fee: int | None = None

    def wallet(self, key: str) -> OnChain | None:
        """The wallet that pays; None when nothing was said of paying."""
        if not self.rpc:
            if self.most_fee is not None:
                raise ClientUsageError("--max-fee is of use with --rpc: the node of a chain.")
            return None
        if self.address_file is None:
            raise ClientUsageError("--rpc needs --address-file: where the contracts are.")
        from provider.client.onchain import OnChain

        return OnChain(self.rpc, load_signer(key), address_file=self.address_file)


class Bought:
    """Tells each purchase, and what to do when something fails before or after one."""

    def __init__(self, purse: Purse, *, several: bool = True) -> None:
        self._purse = purse
        self._several = several
        self._made: list[Purchase] = []

    def __call__(self, purchase: Purchase) -> None:
        self._made.append(purchase)
        tell(purchase)

    def advice(self, text: str) -> str:
        """How to go on after a failure of this text; empty when nothing is known."""
        if self._made:
            options = " ".join(f"--order {self._named(made)}" for made in self._made)
            return f"What was ordered is paid for; use it again with {options}"
        if not self._purse.rpc and _ORDER_MISSING.search(text):
            return "Order it with --rpc, or name an order with --order."
        return ""

    def _named(self, made: Purchase) -> str:
        if not self._several:
            return made.tx
        return f"{plain(made.did, 100)}#{plain(made.service_id, 60)}={made.tx}"


def tell(purchase: Purchase) -> None:
    """An order is worth money: what was bought is told at once, whatever comes after."""
    done = "Renewed the order of" if purchase.renewed else "Ordered"
    fee = f", fee {purchase.fee} of {plain(purchase.token, 60)}" if purchase.fee else ""
    say(f"{done} {plain(purchase.did, 100)}#{plain(purchase.service_id, 60)}: {purchase.tx}{fee}")


def orders_by_asset(texts: tuple[str, ...]) -> dict[str, str]:
    """``DID=TX`` or ``DID#SERVICE=TX`` as a mapping. Raises ClientUsageError."""
    found: dict[str, str] = {}
    for text in texts:
        asset, mark, tx = text.rpartition("=")
        if not mark or not asset or not tx:
            raise ClientUsageError(f"--order: DID=TRANSACTION was expected, not {plain(text)!r}.")
        found[asset] = tx
    return found
