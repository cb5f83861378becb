"""The development chain through web3.py, as programs of others use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.devchain import DevChain
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError

from provider.devchain.ocean import contract

Web3 = AsyncWeb3[AsyncHTTPProvider]


@pytest.fixture
async def web3(devchain: DevChain) -> AsyncIterator[Web3]:
    made = AsyncWeb3(AsyncHTTPProvider(devchain.url))
    yield made
    await made.provider.disconnect()


async def deployed(web3: Web3, owner: str) -> Any:
    """A token of ours, made with what the node signs."""
    published = contract("OceanToken")
    factory = web3.eth.contract(abi=published.abi, bytecode=published.bytecode)
    tx = await factory.constructor(owner).transact({"from": owner})
    receipt = await web3.eth.wait_for_transaction_receipt(tx)
    return web3.eth.contract(address=receipt["contractAddress"], abi=published.abi)


async def test_a_contract_is_made_and_called(web3: Web3, devchain: DevChain) -> None:
    owner, other = devchain.accounts[6].address, devchain.accounts[7].address
    token = await deployed(web3, owner)

    tx = await token.functions.mint(other, 12).transact({"from": owner})
    receipt = await web3.eth.wait_for_transaction_receipt(tx)

    (event,) = token.events.Transfer().process_receipt(receipt)
    assert (event["args"]["to"], event["args"]["value"]) == (other, 12)
    assert await token.functions.balanceOf(other).call() == 12
    found = await token.events.Transfer().get_logs(from_block=receipt["blockNumber"])
    assert [log["transactionHash"] for log in found] == [tx]


async def test_a_signed_transaction_is_filled_in_and_sent(web3: Web3, devchain: DevChain) -> None:
    account, other = devchain.accounts[6], devchain.accounts[7].address
    token = await deployed(web3, account.address)
    call = token.functions.mint(other, 1)

    ready = await call.build_transaction(
        {
            "from": account.address,
            "nonce": await web3.eth.get_transaction_count(account.address),
        }
    )
    tx = await web3.eth.send_raw_transaction(account.sign_transaction(ready).raw_transaction)

    receipt = await web3.eth.get_transaction_receipt(tx)
    found = await web3.eth.get_transaction(tx)
    assert (receipt["status"], receipt["from"], found["chainId"]) == (1, account.address, 8996)
    assert receipt["gasUsed"] <= ready["gas"]
    assert receipt["effectiveGasPrice"] <= ready["maxFeePerGas"]


async def test_a_refusal_is_a_refusal(web3: Web3, devchain: DevChain) -> None:
    owner, other = devchain.accounts[6].address, devchain.accounts[7].address
    token = await deployed(web3, owner)
    with pytest.raises(ContractLogicError, match="caller is not the owner"):
        await token.functions.mint(other, 1).call({"from": other})
    with pytest.raises(ContractLogicError, match="caller is not the owner"):
        await token.functions.mint(other, 1).estimate_gas({"from": other})


async def test_what_is_not_there(web3: Web3) -> None:
    with pytest.raises(TransactionNotFound):
        await web3.eth.get_transaction_receipt("0x" + "12" * 32)
    with pytest.raises(Web3RPCError):
        await web3.manager.coro_request("eth_nonsense", [])


async def test_a_filter(web3: Web3, devchain: DevChain) -> None:
    owner = devchain.accounts[6].address
    token = await deployed(web3, owner)
    polled = await token.events.Transfer.create_filter(from_block="latest")
    assert await polled.get_new_entries() == []

    await token.functions.mint(owner, 3).transact({"from": owner})

    assert [entry["args"]["value"] for entry in await polled.get_new_entries()] == [3]
    assert await polled.get_new_entries() == []


async def test_blocks_and_fees(web3: Web3, devchain: DevChain) -> None:
    block = await web3.eth.get_block("latest", full_transactions=True)
    history = await web3.eth.fee_history(2, "latest", [50.0])

    assert block["number"] == await web3.eth.block_number == devchain.height
    assert history["baseFeePerGas"][-2] == block["baseFeePerGas"]
    assert await web3.eth.gas_price >= block["baseFeePerGas"]
    assert await web3.eth.max_priority_fee == 10**9
    assert await web3.eth.syncing is False
    assert (await web3.net.version, await web3.eth.chain_id) == ("8996", 8996)
