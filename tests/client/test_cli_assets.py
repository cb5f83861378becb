"""The commands about assets, and the options that say how a job is paid for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from standin_market import DID, OTHER, MarketStandIn, a_document, a_fee
from standin_provider import Fault, in_a_thread
from typer.testing import CliRunner

from provider.cli.commands import app
from provider.cli.paying import Purse, orders_by_asset, tell
from provider.client import ClientUsageError, Purchase

TX = "0x" + "ab" * 32
NODE = "http://127.0.0.1:1/key-of-the-node"
Run = Callable[..., Result]


@pytest.fixture
def url(market: MarketStandIn) -> Iterator[str]:
    market.script = [70]
    with in_a_thread(market) as url:
        yield url


@pytest.fixture
def run(url: str, key_file: Path) -> Run:
    def invoke(*words: str, **changes: str | None) -> Result:
        environment: dict[str, str | None] = {
            "OCEAN_COMPUTE_URL": url,
            "OCEAN_COMPUTE_KEY": str(key_file),
            "ADDRESS_FILE": None,
            "COLUMNS": "200",
        }
        return CliRunner().invoke(app, list(words), env=environment | changes)

    return invoke


@pytest.fixture
def start(run: Run, tmp_path: Path) -> Run:
    script = tmp_path / "train.sh"
    script.write_text("echo hello")

    def invoke(*words: str) -> Result:
        return run("start", "-a", str(script), "--image", "busybox", "-e", "paid", *words)

    return invoke


# what an asset is


def test_an_asset_and_its_files(run: Run, market: MarketStandIn) -> None:
    market.documents[DID] = a_document(
        DID,
        metadata={"name": "Rows\x1b[2J", "type": "dataset"},
        nft={"owner": "0xowner"},
        services=[{"id": "1", "type": "access", "datatokenAddress": "0xd", "timeout": 60}],
    )
    done = run("asset-info", f"{DID}#1", OCEAN_COMPUTE_KEY=None)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "name\tRows [2J",
        "type\tdataset",
        "owner\t0xowner",
        "chain\t8996",
        "service\taccess",
        "datatoken\t0xd",
        "order lasts\t60 s",
        "0\t8\ttext/csv\trows.csv\t",
    ]


def test_an_asset_as_json(run: Run, market: MarketStandIn) -> None:
    done = run("asset-info", DID, "--json", "--checksum")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["asset"] == market.documents[DID]
    assert len(document["files"][0]["checksum"]) == 64


def test_an_asset_that_is_not_indexed_still_tells_its_files(
    run: Run, market: MarketStandIn
) -> None:
    del market.documents[DID]
    done = run("asset-info", DID)
    assert (done.exit_code, done.stdout) == (0, "0\t8\ttext/csv\trows.csv\t\n")
    assert json.loads(run("asset-info", DID, "--json").stdout)["asset"] is None


def test_a_strange_document_is_no_crash(run: Run, market: MarketStandIn) -> None:
    strange = {"id": DID, "metadata": [], "nft": 7, "services": [None, {"id": ["0"]}, "0"]}
    market.documents[DID] = strange
    done = run("asset-info", DID)
    assert (done.exit_code, done.exception) == (0, None)


def test_documents_from_elsewhere(run: Run) -> None:
    done = run("asset-info", DID, "--metadata-url", "http://127.0.0.1:1")
    assert done.exit_code == 5


# download


def test_a_file_of_an_asset(run: Run, market: MarketStandIn, tmp_path: Path) -> None:
    done = run("asset-download", DID, "--to", f"{tmp_path}/new/")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{tmp_path}/new/rows.csv\n"
    assert (tmp_path / "new" / "rows.csv").read_bytes() == b"a,b\n1,2\n"
    done = run("asset-download", DID, "--to", f"{tmp_path}/new/", "--overwrite", "--json")
    assert json.loads(done.stdout) == [f"{tmp_path}/new/rows.csv"]


def test_an_order_that_is_there_is_used(run: Run, market: MarketStandIn, tmp_path: Path) -> None:
    market.quotes[DID] = {"datatoken": "0xd", "providerFee": a_fee()}
    refused = run("asset-download", DID, "--to", str(tmp_path / "a"))
    assert refused.exit_code == 1
    market.paid.add(TX)
    userdata = ("--userdata", '{"year": 1}')
    done = run("asset-download", f"{DID}#1", "--to", str(tmp_path / "a"), "--order", TX, *userdata)
    assert done.exit_code == 0, done.output
    sent = market.calls("download")[-1]
    assert (sent["serviceId"], sent["transferTxId"]) == ("1", TX)
    assert json.loads(sent["userdata"]) == {"year": 1}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(404, body={"error": "No such fileIndex 0"}), 4),
        (Fault(403, body={"error": "denied"}), 3),
        (Fault(400, body={"error": "no"}), 1),
    ],
)
def test_refusals_have_their_exit_codes(
    run: Run, market: MarketStandIn, tmp_path: Path, fault: Fault, code: int
) -> None:
    market.spoil("download", fault)
    assert run("asset-download", DID, "--to", str(tmp_path / "a")).exit_code == code


@pytest.mark.parametrize("words", [("#0",), (f"{DID}#",), (DID, "--userdata", "{")])
def test_wrong_usage_of_a_download(run: Run, words: tuple[str, ...]) -> None:
    assert run("asset-download", *words).exit_code == 2


# paying


def test_orders_are_sent_with_their_assets(start: Run, market: MarketStandIn) -> None:
    done = start(
        "-d", DID, "-d", f"{OTHER}#0", "--order", f"{DID}=0x1", "--order", f"{OTHER}#0=0x2"
    )
    assert done.exit_code == 0, done.output
    (sent,) = market.calls("computeStart")
    assert sent["dataset"]["transferTxId"] == "0x1"
    assert sent["additionalDatasets"][0]["transferTxId"] == "0x2"


def test_a_published_algorithm_has_its_order_too(run: Run, market: MarketStandIn) -> None:
    words = ("start", "-a", f"{OTHER}#7", "-d", DID, "-e", "paid")
    done = run(*words, "--order", f"{OTHER}#7=0x3")
    assert done.exit_code == 0, done.output
    (sent,) = market.calls("computeStart")
    assert sent["algorithm"]["transferTxId"] == "0x3"
    assert "transferTxId" not in sent["dataset"]


def test_without_a_node_nothing_is_ordered(start: Run, market: MarketStandIn) -> None:
    market.quotes[DID] = {"datatoken": "0xd", "providerFee": a_fee()}
    done = start("-d", DID)
    assert done.exit_code == 1
    assert market.calls("initializeCompute") == []


@pytest.mark.parametrize(
    "words",
    [
        ("--rpc", NODE),
        ("--max-fee", "5"),
        ("--max-fee", "-1", "--rpc", NODE),
        ("--duration", "0"),
        ("--order", "0x1"),
        ("--order", "=0x1"),
        ("--order", f"{DID}="),
    ],
)
def test_wrong_usage_of_paying(start: Run, market: MarketStandIn, words: tuple[str, ...]) -> None:
    done = start("-d", DID, *words)
    assert done.exit_code == 2
    assert NODE not in done.output
    assert market.calls("computeStart") == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), {}),
        (("a=1", "b#2=3"), {"a": "1", "b#2": "3"}),
        (("a=1", "a=2"), {"a": "2"}),
        (("a=b=1",), {"a=b": "1"}),
    ],
)
def test_orders_by_asset(texts: tuple[str, ...], expected: dict[str, str]) -> None:
    assert orders_by_asset(texts) == expected


def test_what_was_bought_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Purchase(DID, "0", TX, fee=7, token="0xtoken"))
    tell(Purchase(DID, "0", TX, renewed=True))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        f"Ordered {DID}#0: {TX}, fee 7 of 0xtoken",
        f"Renewed the order of {DID}#0: {TX}",
    ]


def test_a_purse_tells_no_node() -> None:
    assert NODE not in repr(Purse(NODE))
    with pytest.raises(ClientUsageError, match="--address-file"):
        Purse(NODE).wallet("11" * 32)
    assert Purse("").wallet("11" * 32) is None
