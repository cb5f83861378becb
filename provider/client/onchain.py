"""A wallet on a chain: publishing data NFTs, ordering with datatokens, paying fees.

Plain JSON-RPC and the few functions of the Ocean contracts that are needed; no knowledge
of a provider but the fee object that it hands out, which goes to the contract unchanged.
The contract verifies the provider's signature, takes the fee and notes the order.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from provider import bounded_json
from provider.auth.signatures import is_address, to_checksum
from provider.client import contract_calls as calls
from provider.client.amounts import in_tokens, shown
from provider.client.chain_node import (
    ChainNode,
    ChainRefusedError,
    ChainUnreachableError,
    chain_id_of,
)
from provider.client.contract_calls import NOBODY, Fee, Function, address_of, created, word_of_tx
from provider.client.errors import AnswerNotUnderstoodError, ClientUsageError, plain
from provider.client.transactions import Transactions, TransactionSigner
from provider.client.wallet import Key, load_signer

__all__ = ["ETHER", "ChainRefusedError", "ChainUnreachableError", "OnChain"]

ETHER: Final = 10**18
"""One whole token in base units, of tokens with 18 decimals. Datatokens are such."""

_UNLIMITED = (1 << 256) - 1
_TEMPLATE = 1
_MAX_FILE_BYTES = 4 << 20

AddressFile = Path | str | Mapping[str, Any]
"""A file of networks by name as deployments write it, or what is in one."""


class OnChain:
    """One wallet on one chain. Addresses come and go as ``0x`` texts, amounts in base units.

    ``key`` is as for :class:`~provider.client.ComputeClient`. Without ``chain_id`` the node
    is asked for it here and now, which takes a moment. Everything raises
    :class:`ChainRefusedError` when the chain would say no or did, and
    :class:`ChainUnreachableError` when its node gives no answer; what was sent nevertheless
    is named by their ``tx``.
    """

    def __init__(
        self, rpc_url: str, key: Key, *, address_file: AddressFile, chain_id: int | None = None
    ) -> None:
        _require_web(rpc_url)
        signer = cast(TransactionSigner, load_signer(key))
        if not hasattr(signer, "sign_transaction"):
            raise ClientUsageError("This signer cannot sign transactions.")
        self.address = str(signer.address)
        self.chain_id = chain_id_of(rpc_url) if chain_id is None else chain_id
        self._factory = _factory(_networks(address_file), self.chain_id)
        self._transactions = Transactions(ChainNode(rpc_url), signer, self.chain_id)
        self._ordering = asyncio.Lock()

    @staticmethod
    def did_of(nft: str, chain_id: int) -> str:
        """The DID of the asset that an NFT stands for, in any casing of its address."""
        text = to_checksum(address_of(nft)) + str(chain_id)
        return "did:op:" + hashlib.sha256(text.encode()).hexdigest()

    async def publish_nft(self, name: str, symbol: str, *, token_uri: str = "") -> str:
        """Make a data NFT that this wallet owns; its checksummed address."""
        receipt = await self._transactions.send(
            self._factory,
            calls.DEPLOY_NFT,
            *(name, symbol, _TEMPLATE, NOBODY, NOBODY, token_uri, True, self.address),
        )
        return _made(receipt, calls.NFT_CREATED, self._factory)

    async def create_datatoken(
        self,
        nft: str,
        name: str,
        symbol: str,
        *,
        minted: int = 100 * ETHER,
        market: str = NOBODY,
        market_token: str = NOBODY,
        market_fee: int = 0,
    ) -> str:
        """Make a datatoken of an own NFT; its checksummed address.

        ``minted`` is what this wallet has of it from the start. Each order pays
        ``market_fee`` of ``market_token`` to ``market``, beside the provider's fee.
        """
        receipt = await self._transactions.send(
            address_of(nft),
            calls.CREATE_DATATOKEN,
            _TEMPLATE,
            [name, symbol],
            [self.address, NOBODY, address_of(market), address_of(market_token)],
            [_UNLIMITED, market_fee],
            [],
        )
        datatoken = _made(receipt, calls.TOKEN_CREATED, self._factory, nft)
        if minted:
            await self.mint(datatoken, self.address, minted)
        return datatoken

    async def mint(self, datatoken: str, to: str, amount_wei: int) -> str:
        """Make new tokens of an own datatoken for somebody; the transaction."""
        return await self._send(datatoken, calls.MINT, address_of(to), amount_wei)

    async def set_metadata(
        self,
        nft: str,
        *,
        state: int,
        decryptor_url: str,
        decryptor_address: str,
        flags: bytes,
        data: bytes,
        metadata_hash: bytes,
    ) -> str:
        """Write an asset's document into its NFT; the transaction.

        ``data`` is the document as ``flags`` say (bit 1 sealed, bit 0 compressed),
        ``metadata_hash`` the sha256 of its plain bytes.
        """
        return await self._send(
            nft,
            calls.SET_METADATA,
            *(state, decryptor_url, decryptor_address, flags, data, metadata_hash, []),
        )

    async def set_metadata_state(self, nft: str, state: int) -> str:
        """Set an asset's state (0 active, 1 end of life, 2 deprecated, 3 revoked, 4 ordering
        is off, 5 unlisted); the transaction."""
        return await self._send(nft, calls.SET_METADATA_STATE, state)

    async def start_order(
        self,
        datatoken: str,
        consumer: str,
        service_index: int,
        provider_fee: Mapping[str, Any],
    ) -> str:
        """Order a service for ``consumer``; the transaction, which is the order's name.

        ``provider_fee`` is as the provider wrote it. Costs one datatoken of this wallet, the
        fee, and the fee of the market that the datatoken names; what is not yet approved of
        that is.
        """
        fee = Fee.from_wire(provider_fee)
        async with self._ordering:
            due = fee.due
            for token, amount in (await self._market_due(datatoken)).items():
                due[token] = due.get(token, 0) + amount
            await self._allow(datatoken, due)
            nothing = (NOBODY, NOBODY, 0)
            order = (address_of(consumer), service_index, fee.values(), nothing)
            return await self._send(datatoken, calls.START_ORDER, *order)

    async def reuse_order(
        self, datatoken: str, order_tx: str, provider_fee: Mapping[str, Any]
    ) -> str:
        """Pay the provider's fee anew for an order; the transaction, its name from now on."""
        fee = Fee.from_wire(provider_fee)
        async with self._ordering:
            await self._allow(datatoken, fee.due)
            order = (word_of_tx(order_tx), fee.values())
            return await self._send(datatoken, calls.REUSE_ORDER, *order)

    async def approve(self, token: str, spender: str, amount_wei: int) -> str:
        """Let a contract take up to so much of a token; the transaction."""
        return await self._send(token, calls.APPROVE, address_of(spender), amount_wei)

    async def allowance(self, token: str, spender: str) -> int:
        """How much of this wallet's tokens a contract may take."""
        return int(await self._view(token, calls.ALLOWANCE, self.address, address_of(spender)))

    async def balance_of(self, token: str, owner: str | None = None) -> int:
        """How much somebody, or this wallet, has of a token."""
        return int(await self._view(token, calls.BALANCE_OF, address_of(owner or self.address)))

    async def decimals_of(self, token: str) -> int | None:
        """How many digits of a token's base units stand behind the point of whole tokens;
        None where its contract does not tell."""
        try:
            return int(await self._view(token, calls.DECIMALS))
        except (AnswerNotUnderstoodError, ChainRefusedError):
            return None

    async def transfer(self, token: str, to: str, amount_wei: int) -> str:
        """Give tokens away; the transaction."""
        return await self._send(token, calls.TRANSFER, address_of(to), amount_wei)

    async def _allow(self, spender: str, due: Mapping[str, int]) -> None:
        """Approve what an order will take. Raises ChainRefusedError when there is too little.

        Some tokens refuse to replace one allowance by another, so it goes over nought.
        """
        for token, amount in due.items():
            balance = await self.balance_of(token)
            if balance < amount:
                decimals = await self.decimals_of(token)
                has = "" if decimals is None else f" ({in_tokens(balance, decimals)})"
                raise ChainRefusedError(
                    f"The order costs {shown(amount, token, decimals)},"
                    f" the wallet has {balance}{has}."
                )
            allowed = await self.allowance(token, spender)
            if allowed >= amount:
                continue
            if allowed:
                await self.approve(token, spender, 0)
            await self.approve(token, spender, amount)

    async def _market_due(self, datatoken: str) -> dict[str, int]:
        function = calls.PUBLISH_MARKET_FEE
        market, token, amount = await self._transactions.view(address_of(datatoken), function)
        return {token: amount} if amount and NOBODY not in (market, token) else {}

    async def _send(self, to: str, function: Function, *values: object) -> str:
        receipt = await self._transactions.send(address_of(to), function, *values)
        return str(receipt["transactionHash"])

    async def _view(self, to: str, function: Function, *values: object) -> Any:
        return (await self._transactions.view(address_of(to), function, *values))[0]


def _made(receipt: Mapping[str, Any], topic: bytes, *emitters: str) -> str:
    """The contract that a transaction made, checksummed."""
    found = created(receipt.get("logs") or [], topic, emitters)
    if found is None:
        raise AnswerNotUnderstoodError(
            f"Transaction {receipt.get('transactionHash')} does not tell what it made."
        )
    return to_checksum(found)


def _require_web(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ClientUsageError("The chain's node is no http or https address.")


def _networks(source: AddressFile) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    path = Path(source).expanduser()
    try:
        with path.open("rb") as file:
            networks = bounded_json.loads(file.read(_MAX_FILE_BYTES))
    except OSError as error:
        raise ClientUsageError(
            f"The address file {plain(str(path))} cannot be read: {error.strerror}."
        ) from None
    except ValueError:
        networks = None
    if not isinstance(networks, dict):
        raise ClientUsageError(f"{plain(str(path))} is not an address file.")
    return networks


def _factory(networks: Mapping[str, Any], chain_id: int) -> str:
    """The factory of data NFTs on a chain. Raises ClientUsageError when none is named."""
    for entry in [networks, *networks.values()]:
        if isinstance(entry, Mapping) and entry.get("chainId") == chain_id:
            factory = entry.get("ERC721Factory")
            if is_address(factory):
                return str(factory).lower()
    raise ClientUsageError(f"The address file names no ERC721Factory on chain {chain_id}.")
