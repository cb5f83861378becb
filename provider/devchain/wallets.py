"""Wallets that everybody knows: for play money only.

They are the first keys of the recovery phrase that every Ethereum development chain uses,
so Anvil and Hardhat have the same. Whoever sends real money to one of them loses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from eth_account import Account
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic
from eth_account.signers.local import LocalAccount

PHRASE = "test test test test test test test test test test test junk"
MAX_WALLETS = 100


@dataclass(frozen=True, slots=True)
class DevWallet:
    """A wallet with its key. The address is checksummed, the key 32 bytes."""

    address: str
    key: bytes = field(repr=False)

    def account(self) -> LocalAccount:
        return _account(self.key)


def dev_wallets(count: int) -> list[DevWallet]:
    """The first ``count`` wallets, the same on every machine."""
    if not 1 <= count <= MAX_WALLETS:
        raise ValueError(f"from 1 to {MAX_WALLETS} wallets, not {count}")
    return [_wallet(number) for number in range(count)]


@cache
def _wallet(number: int) -> DevWallet:
    key = key_from_seed(_seed(), f"m/44'/60'/0'/0/{number}")
    return DevWallet(str(_account(key).address), key)


@cache
def _seed() -> bytes:
    return bytes(seed_from_mnemonic(PHRASE, ""))


def _account(key: bytes) -> LocalAccount:
    account: LocalAccount = Account.from_key(key)
    return account
