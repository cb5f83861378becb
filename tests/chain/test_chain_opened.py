"""The chains that a service starts with: what is told, and what is no hindrance."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

import pytest
from stand_in_node import StandInNode

from provider.chain.fake import FakeChain
from provider.chain.networks import ChainSettings
from provider.chain.opened import open_chains
from provider.errors import SettingsInvalid

FACTORY = "0x" + "fa" * 20


def settings(url: str, chain_id: int = 8996) -> ChainSettings:
    return ChainSettings(chain_id, "dev", FACTORY, "", (url,), rpc_timeout_s=30.0)


async def test_a_missing_factory_is_told(
    node: StandInNode, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        with caplog.at_level(logging.WARNING):
            chains = await open_chains([settings(node.url)], stack)
    assert list(chains) == [8996]
    assert f"factory_missing chain=8996 factory={FACTORY}" in caplog.text


async def test_a_factory_that_answers_is_not(
    node: StandInNode, fake: FakeChain, caplog: pytest.LogCaptureFixture
) -> None:
    fake.publish(FACTORY, "0x" + "aa" * 20, [])
    async with AsyncExitStack() as stack:
        await open_chains([settings(node.url)], stack)
    assert "factory_missing" not in caplog.text


async def test_a_node_that_is_down_is_no_hindrance(caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        chains = await open_chains([settings("http://127.0.0.1:9")], stack)
        assert chains[8996].settings.factory == FACTORY
    assert "chain_node_silent" in caplog.text


async def test_a_node_of_another_chain_stops_the_start(node: StandInNode) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(SettingsInvalid):
            await open_chains([settings(node.url, 137)], stack)
