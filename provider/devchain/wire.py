"""JSON-RPC's spelling of what the chain holds, and reading of what is asked of it.

Shapes follow the execution API of Ethereum clients: quantities are hexadecimal without
leading zeros, data hexadecimal in whole bytes. Reading raises RpcError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth.abc import SignedTransactionAPI
from eth_utils.address import to_checksum_address

from provider.devchain.errors import RpcError
from provider.devchain.evm import GAS_LIMIT, Made, Request
from provider.devchain.node import Placed

Json = dict[str, Any]


def quantity(number: int) -> str:
    return hex(number)


def data(raw: bytes) -> str:
    return "0x" + raw.hex()


def address(raw: bytes) -> str | None:
    return data(raw) if raw else None


def block_json(made: Made, *, full: bool) -> Json:
    """A block; with whole transactions instead of their hashes if ``full``."""
    header: Any = made.header
    placed = [Placed(made, position) for position in range(len(made.executed))]
    return {
        "number": quantity(header.block_number),
        "hash": data(header.hash),
        "parentHash": data(header.parent_hash),
        "nonce": data(header.nonce),
        "mixHash": data(header.mix_hash),
        "sha3Uncles": data(header.uncles_hash),
        "logsBloom": data(header.bloom.to_bytes(256, "big")),
        "transactionsRoot": data(header.transaction_root),
        "stateRoot": data(header.state_root),
        "receiptsRoot": data(header.receipt_root),
        "miner": data(header.coinbase),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": data(header.extra_data),
        "size": quantity(len(rlp.encode(made.block))),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "baseFeePerGas": quantity(header.base_fee_per_gas),
        "transactions": [
            transaction_json(one.executed.transaction, one) if full else _hash(one)
            for one in placed
        ],
        "uncles": [],
        "withdrawals": [],
        "withdrawalsRoot": data(header.withdrawals_root),
    }


def transaction_json(transaction: SignedTransactionAPI, placed: Placed | None) -> Json:
    """A transaction; ``placed`` is None while it waits."""
    header = placed.made.header if placed else None
    kind = getattr(transaction, "type_id", None) or 0
    common = {
        "type": quantity(kind),
        "hash": data(transaction.hash),
        "nonce": quantity(transaction.nonce),
        "from": data(transaction.sender),
        "to": address(transaction.to),
        "value": quantity(transaction.value),
        "gas": quantity(transaction.gas),
        "input": data(transaction.data),
        "blockHash": data(header.hash) if header else None,
        "blockNumber": quantity(header.block_number) if header else None,
        "transactionIndex": quantity(placed.position) if placed else None,
        "gasPrice": quantity(_price(transaction, placed)),
        "r": quantity(transaction.r),
        "s": quantity(transaction.s),
    }
    return common | (_typed_fields(transaction, kind) if kind else _legacy_fields(transaction))


def _legacy_fields(transaction: Any) -> Json:
    fields = {"v": quantity(transaction.v)}
    if transaction.chain_id is not None:
        fields["chainId"] = quantity(transaction.chain_id)
    return fields


def _typed_fields(transaction: SignedTransactionAPI, kind: int) -> Json:
    parity = quantity(transaction.y_parity)
    fields: Json = {
        "v": parity,
        "yParity": parity,
        "chainId": quantity(transaction.chain_id or 0),
        "accessList": [
            {"address": data(account), "storageKeys": [_word(slot) for slot in slots]}
            for account, slots in transaction.access_list
        ],
    }
    if kind >= 2:
        fields["maxFeePerGas"] = quantity(transaction.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = quantity(transaction.max_priority_fee_per_gas)
    return fields


def receipt_json(placed: Placed) -> Json:
    header, executed = placed.made.header, placed.executed
    created = executed.created
    return {
        "type": quantity(getattr(executed.transaction, "type_id", None) or 0),
        "status": "0x1" if executed.succeeded else "0x0",
        "transactionHash": _hash(placed),
        "transactionIndex": quantity(placed.position),
        "blockHash": data(header.hash),
        "blockNumber": quantity(header.block_number),
        "from": data(executed.transaction.sender),
        "to": address(executed.transaction.to),
        "contractAddress": data(created) if created else None,
        "gasUsed": quantity(executed.gas_used),
        "cumulativeGasUsed": quantity(executed.receipt.gas_used),
        "effectiveGasPrice": quantity(_price(executed.transaction, placed)),
        "logsBloom": data(executed.receipt.bloom.to_bytes(256, "big")),
        "logs": logs_json(placed),
    }


def logs_json(placed: Placed) -> list[Json]:
    """All events of one transaction."""
    header = placed.made.header
    return [
        {
            "address": data(log.address),
            "topics": [_word(topic) for topic in log.topics],
            "data": data(log.data),
            "blockNumber": quantity(header.block_number),
            "blockHash": data(header.hash),
            "blockTimestamp": quantity(header.timestamp),
            "transactionHash": _hash(placed),
            "transactionIndex": quantity(placed.position),
            "logIndex": quantity(placed.first_log + number),
            "removed": False,
        }
        for number, log in enumerate(placed.executed.receipt.logs)
    ]


def _hash(placed: Placed) -> str:
    return data(placed.executed.transaction.hash)


def _word(number: int) -> str:
    return data(number.to_bytes(32, "big"))


def _price(transaction: SignedTransactionAPI, placed: Placed | None) -> int:
    """What one gas costs in wei, for a waiting transaction at most (EIP-1559)."""
    highest = int(transaction.max_fee_per_gas)
    if placed is None:
        return highest
    header: Any = placed.made.header
    return min(highest, int(header.base_fee_per_gas + transaction.max_priority_fee_per_gas))


class Params:
    """The parameters of one call, read by position."""

    def __init__(self, given: object) -> None:
        if not isinstance(given, list):
            raise invalid("params must be an array")
        self._given = given

    def get(self, position: int, default: Any = None) -> Any:
        if position >= len(self._given) or self._given[position] is None:
            return default
        return self._given[position]

    def number(self, position: int, default: int | None = None) -> int:
        value = self.get(position, default)
        return read_quantity(value)

    def bytes(self, position: int, length: int | None = None) -> bytes:
        return read_bytes(self.get(position), length)

    def object(self, position: int) -> Mapping[str, Any]:
        value = self.get(position, {})
        if not isinstance(value, dict):
            raise invalid(f"parameter {position} must be an object")
        return value


def read_quantity(value: object) -> int:
    """A whole number, hexadecimal as it should be or decimal as some tools send it."""
    try:
        if isinstance(value, str) and value.startswith("0x"):
            number = int(value, 16)
        elif isinstance(value, str | int) and not isinstance(value, bool):
            number = int(value)
        else:
            raise ValueError
    except ValueError:
        raise invalid("a quantity is no number") from None
    if not 0 <= number < 1 << 256:
        raise invalid("a quantity is out of range")
    return number


def read_bytes(value: object, length: int | None = None) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise invalid("data must be hexadecimal with 0x")
    try:
        raw = bytes.fromhex(value[2:])
    except ValueError:
        raise invalid("data is not hexadecimal") from None
    if length is not None and len(raw) != length:
        raise invalid(f"data must be of {length} bytes, not {len(raw)}")
    return raw


def read_request(given: Mapping[str, Any], default_sender: bytes) -> Request:
    """A transaction object as of ``eth_call``. Fees are not looked at."""
    to, sender = given.get("to"), given.get("from")
    content = given.get("input", given.get("data"))
    return Request(
        sender=read_bytes(sender, 20) if sender else default_sender,
        to=read_bytes(to, 20) if to else b"",
        data=read_bytes(content) if content else b"",
        value=read_quantity(given.get("value") or 0),
        gas=min(read_quantity(given.get("gas") or GAS_LIMIT), GAS_LIMIT),
    )


def checksummed(transaction: Mapping[str, Any]) -> Json:
    """A transaction object as the signing library wants it."""
    ready = {key: value for key, value in transaction.items() if value is not None}
    ready.pop("from", None)
    if "input" in ready:
        ready["data"] = ready.pop("input")
    if ready.get("to"):
        ready["to"] = to_checksum_address(read_bytes(ready["to"], 20))
    return ready


def matches(log: Mapping[str, Any], addresses: frozenset[str], topics: list[Any]) -> bool:
    """Whether an event (as JSON) is one that a filter asks for."""
    if addresses and log["address"] not in addresses:
        return False
    if len(topics) > len(log["topics"]):
        return False
    return all(_one_of(topic, wanted) for topic, wanted in zip(log["topics"], topics, strict=False))


def _one_of(topic: str, wanted: Any) -> bool:
    if wanted is None or wanted == []:
        return True
    return topic in {text.lower() for text in _texts(wanted)}


def read_addresses(value: Any) -> frozenset[str]:
    return frozenset(text.lower() for text in _texts(value)) if value else frozenset()


def _texts(value: Any) -> Iterator[str]:
    for text in value if isinstance(value, list) else [value]:
        if not isinstance(text, str):
            raise invalid("addresses and topics of a filter are texts")
        yield text


def invalid(message: str) -> RpcError:
    return RpcError(-32602, f"invalid params: {message}")
