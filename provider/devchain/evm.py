"""Blocks and transactions on py-evm: what happens, without any memory of what is asked.

A block is made from its parent and transactions; the state of every block stays readable,
so going back is forgetting blocks. The timestamp of a block may equal its parent's: many
transactions in one second do not carry the chain's clock into the future.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth.abc import (
    BlockAPI,
    BlockHeaderAPI,
    ComputationAPI,
    ReceiptAPI,
    SignedTransactionAPI,
    StateAPI,
    VirtualMachineAPI,
)
from eth.chains.base import Chain
from eth.db.atomic import AtomicDB
from eth.exceptions import OutOfGas, PyEVMError, VMError
from eth.vm.forks.cancun import CancunVM
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address
from eth_utils.exceptions import ValidationError

GAS_LIMIT = 60_000_000
"""Of a block. No single contract of Ocean's needs more than a tenth."""

_UNREADABLE = (PyEVMError, ValidationError, rlp.RLPException, ValueError, TypeError, IndexError)

Refusals = dict[bytes, str]
"""Why transactions could not be put into a block, by hash."""


@dataclass(frozen=True, slots=True)
class Executed:
    """A transaction in a block. ``created`` is the address of the contract it made."""

    transaction: SignedTransactionAPI
    receipt: ReceiptAPI
    succeeded: bool
    gas_used: int
    created: bytes | None


@dataclass(frozen=True, slots=True)
class Made:
    """A block with what its transactions did."""

    block: BlockAPI
    executed: tuple[Executed, ...] = ()

    @property
    def header(self) -> BlockHeaderAPI:
        return self.block.header


@dataclass(frozen=True, slots=True)
class Request:
    """A call that is tried and forgotten. ``to`` empty makes a contract."""

    sender: bytes
    to: bytes = b""
    data: bytes = field(default=b"", repr=False)
    value: int = 0
    gas: int = GAS_LIMIT


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tried call gave. ``gas_used`` leaves refunds out."""

    output: bytes = field(repr=False)
    gas_used: int
    error: VMError | None


class Evm:
    """One chain's rules and states. ``balances`` are in wei, by 20-byte address."""

    def __init__(self, chain_id: int, balances: Mapping[bytes, int], timestamp: int) -> None:
        rules = type("DevelopmentRules", (Chain,), _rules(chain_id))
        parameters = {"difficulty": 0, "gas_limit": GAS_LIMIT, "timestamp": timestamp}
        accounts = {address: _account(wei) for address, wei in balances.items()}
        self._chain = rules.from_genesis(AtomicDB(), parameters, accounts)  # type: ignore[attr-defined]
        header = self._chain.get_canonical_head()
        self.genesis = Made(self._chain.get_vm(header).get_block())

    def decode(self, raw: bytes) -> SignedTransactionAPI:
        """A signed transaction in any of the forms that go over the wire.

        Raises ValueError for what is none, or is not validly signed for this chain.
        """
        try:
            transaction: SignedTransactionAPI = _builder().decode(raw)
            transaction.validate()
            _ = transaction.sender
        except _UNREADABLE as error:
            raise ValueError(f"not a valid signed transaction ({type(error).__name__})") from None
        if transaction.chain_id not in (None, self._chain.chain_id):
            raise ValueError("the transaction is signed for another chain")
        return transaction

    def next_header(self, parent: BlockHeaderAPI, timestamp: int) -> BlockHeaderAPI:
        """The header of the block after ``parent``, before anything happened in it."""
        return self._chain.create_header_from_parent(  # type: ignore[no-any-return]
            parent,
            gas_limit=parent.gas_limit,
            timestamp=max(timestamp, parent.timestamp),
            mix_hash=os.urandom(32),
        )

    def make(
        self, parent: BlockHeaderAPI, timestamp: int, waiting: Iterable[SignedTransactionAPI]
    ) -> tuple[Made, Refusals]:
        """A block of those transactions that fit and may be executed, in their order.

        What does not fit any more is left out silently, what can never be executed with its
        reason.
        """
        header = self.next_header(parent, timestamp)
        vm: VirtualMachineAPI = self._chain.get_vm(header)
        executed: list[Executed] = []
        refusals: Refusals = {}
        for transaction in waiting:
            if header.gas_used + transaction.gas > header.gas_limit and executed:
                continue
            try:
                receipt, computation = vm.apply_transaction(header, transaction)
            except ValidationError as error:
                refusals[transaction.hash] = str(error)
                continue
            used = receipt.gas_used - header.gas_used
            executed.append(_executed(transaction, receipt, computation, used))
            header = vm.add_receipt_to_header(header, receipt)
        return Made(self._sealed(vm, header, executed), tuple(executed)), refusals

    def _sealed(
        self, vm: VirtualMachineAPI, header: BlockHeaderAPI, executed: Sequence[Executed]
    ) -> BlockAPI:
        block = vm.set_block_transactions_and_withdrawals(
            vm.get_block(),
            header,
            [done.transaction for done in executed],
            [done.receipt for done in executed],
        )
        sealed = vm.finalize_block(block).block
        self._chain.chaindb.db[sealed.hash] = rlp.encode(sealed.header)
        return sealed

    def state(self, header: BlockHeaderAPI) -> StateAPI:
        """Balances, nonces, code and storage after this header's block, for reading."""
        return self._chain.get_vm(header).state  # type: ignore[no-any-return]

    def attempt(self, header: BlockHeaderAPI, request: Request) -> Outcome:
        """Execute a request on the state of ``header``, in its time, without fees."""
        state = self.state(header)
        unsigned = _builder().create_unsigned_transaction(
            nonce=state.get_nonce(Address(request.sender)),
            gas_price=0,
            gas=request.gas,
            to=request.to,
            value=request.value,
            data=request.data,
        )
        if unsigned.intrinsic_gas > request.gas:
            return Outcome(b"", request.gas, OutOfGas())
        transaction: Any = SpoofTransaction(unsigned, from_=request.sender)
        executor = state.get_transaction_executor()
        try:
            message = executor.build_evm_message(transaction)
            computation = executor.build_computation(message, transaction)
        except VMError as impossible:
            return Outcome(b"", request.gas, impossible)
        error = computation.error if computation.is_error else None
        used = request.gas - computation.get_gas_remaining()
        return Outcome(computation.output, used, error)


def _rules(chain_id: int) -> dict[str, Any]:
    return {"chain_id": chain_id, "vm_configuration": ((0, CancunVM),)}


def _builder() -> Any:
    return CancunVM.get_transaction_builder()


def _account(wei: int) -> dict[str, Any]:
    return {"balance": wei, "nonce": 0, "code": b"", "storage": {}}


def _executed(
    transaction: SignedTransactionAPI,
    receipt: ReceiptAPI,
    computation: ComputationAPI,
    gas_used: int,
) -> Executed:
    created = computation.msg.storage_address if computation.msg.is_create else None
    return Executed(transaction, receipt, computation.is_success, gas_used, created)
