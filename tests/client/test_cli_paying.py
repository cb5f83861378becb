"""Commands that pay: what is looked at before money goes, and how to use what was bought."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from standin_market import ALGORITHM, DID, FEE_TOKEN, OTHER, MarketStandIn, a_fee
from standin_node import ADDRESSES, NodeStandIn
from standin_provider import Fault, in_a_thread
from typer.testing import CliRunner

from provider.cli.commands import app

TX = "0x" + "ab" * 32
TOKEN, OTHER_TOKEN = "0x" + "d1" * 20, "0x" + "d2" * 20
Run = Callable[..., Result]


@pytest.fixture
def node(market: MarketStandIn) -> NodeStandIn:
    return NodeStandIn(market.paid)


@pytest.fixture
def run(market: MarketStandIn, node: NodeStandIn, key_file: Path, tmp_path: Path) -> Iterator[Run]:
    market.script = [70]
    market.quotes = {
        DID: {"datatoken": TOKEN, "providerFee": a_fee(7_000_000)},
        OTHER: {"datatoken": OTHER_TOKEN, "providerFee": a_fee()},
    }
    addresses = tmp_path / "address.json"
    addresses.write_text(json.dumps(ADDRESSES))
    with in_a_thread(market) as url, in_a_thread(node) as rpc:  # type: ignore[arg-type]

        def invoke(*words: str, pays: bool = True) -> Result:
            environment: dict[str, str | None] = {
                "OCEAN_COMPUTE_URL": url,
                "OCEAN_COMPUTE_KEY": str(key_file),
                "ADDRESS_FILE": str(addresses),
                "OCEAN_COMPUTE_RPC": rpc if pays else None,
            }
            return CliRunner().invoke(app, list(words), env=environment)

        yield invoke


@pytest.fixture
def start(run: Run, tmp_path: Path) -> Run:
    script = tmp_path / "train.sh"
    script.write_text("echo hello")
    return lambda *words, **more: run(
        "start", "-a", str(script), "--image", "busybox", "-e", "paid", *words, **more
    )


def test_a_download_is_ordered_and_brought(run: Run, node: NodeStandIn, tmp_path: Path) -> None:
    done = run("asset-download", DID, "--to", f"{tmp_path}/new/")
    assert done.exit_code == 0, done.output
    assert len(node.sent) == 1
    assert (tmp_path / "new" / "rows.csv").read_bytes() == b"a,b\n1,2\n"


@pytest.mark.parametrize("to", ["{}", "{}/rows.csv"])
def test_nothing_is_ordered_for_a_place_that_is_taken(
    run: Run, node: NodeStandIn, tmp_path: Path, to: str
) -> None:
    (tmp_path / "rows.csv").write_text("mine")
    done = run("asset-download", DID, "--to", to.format(tmp_path))
    assert (done.exit_code, node.sent) == (1, [])
    assert "rows.csv exists already. Choose" in done.stderr
    assert (tmp_path / "rows.csv").read_text() == "mine"
    done = run("asset-download", DID, "--to", to.format(tmp_path), "--overwrite")
    assert (done.exit_code, len(node.sent)) == (0, 1)


@pytest.mark.parametrize("to", ["{}", "{}/new"])
def test_nothing_is_ordered_for_a_file_that_there_is_not(
    run: Run, node: NodeStandIn, tmp_path: Path, to: str
) -> None:
    done = run("asset-download", DID, "7", "--to", to.format(tmp_path))
    assert (done.exit_code, node.sent) == (4, [])
    assert "has no file 7" in done.stderr


def test_an_order_whose_download_fails_is_told(
    run: Run, market: MarketStandIn, node: NodeStandIn, tmp_path: Path
) -> None:
    market.spoil("download", Fault(400, body={"error": "the origin is away"}))
    done = run("asset-download", DID, "--to", f"{tmp_path}/a")
    assert done.exit_code == 1
    (tx,) = node.sent
    assert f"use it again with --order {tx}\n" in done.stderr
    again = run("asset-download", DID, "--to", f"{tmp_path}/a", "--order", tx)
    assert (again.exit_code, len(node.sent)) == (0, 1)


def test_a_chain_of_orders_that_breaks_tells_what_is_paid(
    start: Run, market: MarketStandIn, node: NodeStandIn
) -> None:
    node.refusals["eth_estimateGas"] = ["", "execution reverted: no"]
    done = start("-d", DID, "-d", OTHER)
    assert done.exit_code == 1
    (tx,) = node.sent
    assert f"use it again with --order {DID}#0={tx}\n" in done.stderr
    assert market.calls("computeStart") == []
    done = start("-d", DID, "-d", OTHER, "--order", f"{DID}#0={tx}")
    assert (done.exit_code, len(node.sent)) == (0, 2), done.output


def test_a_refused_start_tells_all_that_is_paid(
    start: Run, market: MarketStandIn, node: NodeStandIn
) -> None:
    market.spoil("computeStart", Fault(400, body={"error": "no"}))
    done = start("-d", DID, "-d", OTHER)
    first, second = node.sent
    assert f"--order {DID}#0={first} --order {OTHER}#0={second}\n" in done.stderr


def test_a_job_that_runs_needs_no_advice(start: Run, market: MarketStandIn) -> None:
    market.spoil("computeStatus", Fault(400, body={"error": "no"}))
    done = start("-d", DID, "--follow")
    assert done.exit_code == 1
    assert "--order" not in done.stderr


@pytest.mark.parametrize("token", [TOKEN, OTHER_TOKEN, FEE_TOKEN])
def test_what_the_wallet_lacks_stops_all_of_it(start: Run, node: NodeStandIn, token: str) -> None:
    node.balances[token] = 5
    done = start("-d", DID, "-d", OTHER)
    assert (done.exit_code, node.sent) == (1, [])
    assert token in done.stderr
    assert "Nothing was ordered." in done.stderr


def test_a_fee_is_told_in_whole_tokens_too(start: Run, node: NodeStandIn) -> None:
    done = start("-d", DID, "--max-fee", "6500000")
    told = f"asks 7000000 base units of {FEE_TOKEN} (7 whole tokens) in fees; at most 6500000 (6.5)"
    assert told in done.stderr
    assert (done.exit_code, node.sent) == (1, [])


@pytest.mark.parametrize("method", ["eth_estimateGas", "eth_sendRawTransaction"])
def test_a_wallet_without_gas_is_named(
    start: Run, node: NodeStandIn, key_file: Path, method: str
) -> None:
    node.refusals[method] = ["insufficient funds for gas * price + value: balance 0"]
    done = start("-d", DID)
    address = CliRunner().invoke(app, ["key", "show", str(key_file)]).stdout.strip()
    assert "insufficient funds" in done.stderr
    assert f"The wallet {address} pays" in done.stderr
    assert "own currency" in done.stderr


def test_what_a_contract_says_of_funds_is_not_about_gas(start: Run, node: NodeStandIn) -> None:
    node.refusals["eth_estimateGas"] = ["execution reverted: insufficient funds"]
    assert "own currency" not in start("-d", DID).stderr


# without a wallet


MISSING = {"error": {"dataset.transferTxId": "missing"}}
REQUIRED = {"errors": {"transferTxId": ["The transferTxId field is required."]}}


@pytest.mark.parametrize("body", [MISSING, REQUIRED])
@pytest.mark.parametrize("pays", [True, False])
def test_a_missing_order_gets_its_advice(
    start: Run, run: Run, market: MarketStandIn, tmp_path: Path, body: object, pays: bool
) -> None:
    market.quotes = {}
    advice = "Order it with --rpc, or name an order with --order.\n"
    market.spoil("computeStart", Fault(400, body=body))
    market.spoil("download", Fault(400, body=body))
    for done in (
        start("-d", DID, pays=pays),
        run("asset-download", DID, "--to", f"{tmp_path}/a", pays=pays),
    ):
        assert done.exit_code == 1
        assert (advice in done.stderr) is not pays


@pytest.mark.parametrize("asset", [OTHER, f"{DID}#1", f"{OTHER}#0", "train.sh"])
def test_an_order_of_what_the_job_does_not_use(
    start: Run, market: MarketStandIn, asset: str
) -> None:
    done = start("-d", DID, "--order", f"{asset}={TX}", pays=False)
    assert done.exit_code == 2
    assert f"{asset} is neither a dataset nor the algorithm" in done.stderr
    assert market.calls("computeStart") == []


def test_an_order_of_the_published_algorithm_is_of_use(run: Run, market: MarketStandIn) -> None:
    words = ("start", "-d", DID, "-a", ALGORITHM, "-e", "paid", "--order", f"{ALGORITHM}={TX}")
    market.quotes = {}
    assert run(*words, pays=False).exit_code == 0
    (sent,) = market.calls("computeStart")
    assert sent["algorithm"]["transferTxId"] == TX


# asset-info


@pytest.mark.parametrize(
    "text",
    [
        "Cannot resolve DID did:op:none",
        "Provider Ganache: Invalid serviceId.",
        "Invalid serviceId.",
    ],
)
def test_an_unknown_asset_or_service(run: Run, market: MarketStandIn, text: str) -> None:
    market.spoil("fileinfo", Fault(400, body={"error": text}))
    assert run("asset-info", DID).exit_code == 4
    market.spoil("fileinfo", Fault(400, body={"error": "Invalid something else."}))
    assert run("asset-info", DID).exit_code == 1


def test_parameters_of_an_asset_go_along(run: Run, market: MarketStandIn) -> None:
    assert run("asset-info", DID, "--userdata", '{"year": 1}').exit_code == 0
    assert market.calls("fileinfo")[-1]["userdata"] == {"year": 1}
    assert run("asset-info", DID, "--userdata", "{").exit_code == 2


# the development chain


def test_no_folder_is_made_for_the_address_file(tmp_path: Path) -> None:
    file = tmp_path / "none" / "deeper" / "a.json"
    done = CliRunner().invoke(app, ["chain", "dev", "--port", "0", "--address-file", str(file)])
    assert done.exit_code == 2
    assert f"there is no folder {file.parent}" in done.stderr
    assert not (tmp_path / "none").exists()


def test_the_packages_of_the_chain_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("provider.devchain.running", "provider.devchain"):
        monkeypatch.setitem(sys.modules, name, None)
    done = CliRunner().invoke(app, ["chain", "dev"])
    assert done.exit_code == 2
    assert 'pip install "ocean-compute[devchain]", or in a checkout' in done.stderr
    assert 'pip install ".[devchain]"' in done.stderr
