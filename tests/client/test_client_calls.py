"""The client's calls against a provider that checks what it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer, unused_port
from eth_account import Account
from standin_provider import Fault, Naps, StandIn

from provider.client import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    ComputeClient,
    Dataset,
    NonceRefusedError,
    NotAuthorisedError,
    NotFoundError,
    Patience,
    ProviderUnreachableError,
    PublishedAlgorithm,
    RawAlgorithm,
    RefusedError,
)

Make = Callable[..., ComputeClient]
DID = "did:op:" + "1" * 64


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("chains", [[], [8996], [1, 8996]])
async def test_a_job_from_start_to_deletion(
    make_client: Make,
    stand_in: StandIn,
    algorithm: RawAlgorithm,
    tmp_path: Path,
    typed: bool,
    chains: list[int],
) -> None:
    stand_in.chains = chains
    async with make_client(typed=typed) as client:
        job = await client.start("small", DID, algorithm)
        assert [seen.status async for seen in client.follow(job.id)] == [1, 20, 40, 70]
        done = await client.wait(job.id)
        assert (done.succeeded, done.finished) == (True, True)
        names = [result.filename for result in await client.results(job.id)]
        assert names == ["metrics.json", "algorithm.log"]
        assert await client.log(job.id) == b"epoch 1\nepoch 2\n"
        path = await client.download(job.id, 0, tmp_path)
        assert path.read_bytes() == b'{"accuracy": 0.97}'
        assert [job.id for job in await client.jobs()] == [job.id]
        await client.delete(job.id)
        assert stand_in.jobs == {}
    assert ("expiry" in stand_in.calls("computeStart")[0]) == typed


@pytest.mark.parametrize("typed", [False, True])
async def test_tokens_are_made_and_deleted(
    make_client: Make, stand_in: StandIn, typed: bool
) -> None:
    async with make_client(typed=typed) as client:
        token = await client.create_token(60)
        assert stand_in.tokens == {token}
        await client.delete_token(token)
    assert stand_in.tokens == set()


async def test_a_start_sends_what_the_api_says(client: ComputeClient, stand_in: StandIn) -> None:
    algorithm = PublishedAlgorithm(DID, "algo", {"depth": 3}, {"seed": 1}, "0xfe")
    datasets = [Dataset(DID, "s1", {"year": 2020}, "0xab"), f"{DID}2#s2"]
    await client.start("small", datasets, algorithm, additional_datasets=[f"{DID}3"])
    [sent] = stand_in.calls("computeStart")
    assert sent["consumerAddress"] == client.address
    assert sent["environment"] == "small"
    assert sent["dataset"] == {
        "documentId": DID,
        "serviceId": "s1",
        "transferTxId": "0xab",
        "userdata": {"year": 2020},
    }
    assert sent["additionalDatasets"] == [
        {"documentId": f"{DID}2", "serviceId": "s2"},
        {"documentId": f"{DID}3", "serviceId": "0"},
    ]
    assert sent["algorithm"] == {
        "documentId": DID,
        "serviceId": "algo",
        "transferTxId": "0xfe",
        "userdata": {"depth": 3},
        "algocustomdata": {"seed": 1},
    }


async def test_a_raw_algorithm_carries_its_code_and_container(
    client: ComputeClient, stand_in: StandIn, tmp_path: Path
) -> None:
    path = tmp_path / "train.py"
    path.write_text("print('é')", encoding="utf-8")
    raw = RawAlgorithm.from_file(path, image="python", tag="3.12", checksum="sha256:ab")
    await client.start("small", DID, raw)
    [sent] = stand_in.calls("computeStart")
    assert sent["algorithm"] == {
        "meta": {
            "rawcode": "print('é')",
            "language": "python",
            "version": "",
            "container": {
                "image": "python",
                "tag": "3.12",
                "checksum": "sha256:ab",
                "entrypoint": "python3 $ALGO",
            },
        }
    }


async def test_a_stop_is_answered_with_the_job(
    client: ComputeClient, algorithm: RawAlgorithm
) -> None:
    job = await client.start("small", DID, algorithm)
    assert (await client.stop(job.id)).status == 7
    assert not (await client.wait(job.id)).succeeded


async def test_a_failed_job_says_why(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.script = [40, 41]
    job = await client.wait((await client.start("small", DID, algorithm)).id)
    assert (job.status, job.exit_code, job.reason) == (41, 3, "exit_code")
    assert job.finished
    assert not job.succeeded


async def test_environments_by_chain_and_flat(client: ComputeClient, stand_in: StandIn) -> None:
    [found] = await client.environments()
    assert (found.id, found.description, found.chain_id) == ("small", "one core", "8996")
    assert await client.environments(chain_id=1) == []
    stand_in.environments = [{"id": "large", "ramGB": 8}]
    [found] = await client.environments(chain_id=1)
    assert (found.id, found.chain_id, found.raw["ramGB"]) == ("large", None, 8)
    assert stand_in.calls("computeEnvironments")[-1] == {"chainId": "1"}


async def test_a_quote_is_asked_for_without_a_signature(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    quote = await client.initialize_compute("small", [DID, DID], algorithm, duration_s=60)
    assert len(quote["datasets"]) == 2
    [sent] = stand_in.calls("initializeCompute")
    assert sent["compute"]["env"] == "small"
    assert "signature" not in sent


async def test_the_root_document_is_asked_for_once(
    client: ComputeClient, stand_in: StandIn
) -> None:
    await asyncio.gather(*(client.environments() for _ in range(5)))
    assert len(stand_in.calls("root")) == 1


async def test_paths_behind_a_prefix_are_found(wallet: Any) -> None:
    stand_in = StandIn()
    stand_in.prefix = "/ocean"
    async with (
        TestServer(stand_in.application()) as server,
        ComputeClient(str(server.make_url("/ocean/")), wallet) as client,
    ):
        assert len(await client.environments()) == 1


async def test_names_of_endpoints_in_other_casing_are_found(
    client: ComputeClient, stand_in: StandIn
) -> None:
    stand_in.casing = str.upper
    assert len(await client.environments()) == 1


async def test_nonces_count_up_from_the_providers(
    client: ComputeClient, stand_in: StandIn, wallet: Any
) -> None:
    stand_in.nonces[wallet.address.lower()] = 41
    await client.jobs()
    await client.jobs()
    assert [call["nonce"] for call in stand_in.calls("computeStatus")] == ["42", "43"]
    assert len(stand_in.calls("nonce")) == 1
    assert await client.nonce() == 43


async def test_a_nonce_used_elsewhere_is_asked_for_again(
    client: ComputeClient, stand_in: StandIn, wallet: Any
) -> None:
    await client.jobs()
    stand_in.nonces[wallet.address.lower()] = 1000
    await client.jobs()
    assert [call["nonce"] for call in stand_in.calls("computeStatus")] == ["2", "3", "1001"]


async def test_a_provider_that_forgot_its_nonces_is_not_signed_for_twice(
    client: ComputeClient, stand_in: StandIn
) -> None:
    await client.jobs()
    stand_in.nonces.clear()
    stand_in.spoil("computeStatus", Fault(400, body=_nonce_refusal()))
    await client.jobs()
    assert [call["nonce"] for call in stand_in.calls("computeStatus")] == ["2", "3", "4"]


async def test_a_nonce_refused_again_is_reported(client: ComputeClient, stand_in: StandIn) -> None:
    stand_in.spoil("computeStatus", *[Fault(400, body=_nonce_refusal())] * 2)
    with pytest.raises(NonceRefusedError, match="expected nonce"):
        await client.jobs()


def _nonce_refusal() -> Any:
    text = "Invalid signature expected nonce (9) > current nonce (2)."
    return {"success": False, "message": "Validation error", "errors": {"signature": text}}


async def test_many_calls_at_once_never_overtake_each_other(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    jobs = await asyncio.gather(*(client.start("small", DID, algorithm) for _ in range(8)))
    await asyncio.gather(*(client.read(job.id, 0) for job in jobs))
    assert len({job.id for job in jobs}) == len(stand_in.jobs) == 8
    nonces = [int(call["nonce"]) for call in stand_in.calls("computeResult")]
    assert nonces == sorted(nonces)
    assert len(stand_in.calls("nonce")) == 1


async def test_a_status_is_signed_only_where_it_must_be(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    job = await client.start("small", DID, algorithm)
    await client.status(job.id)
    assert "signature" not in stand_in.calls("computeStatus")[-1]
    stand_in.signed_status = True
    await client.status(job.id)
    await client.status(job.id)
    signed = ["signature" in call for call in stand_in.calls("computeStatus")]
    assert signed == [False, False, True, True]


async def test_polls_slow_down_until_something_changes(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm, naps: Naps
) -> None:
    stand_in.script = [1] * 10 + [40] * 3 + [70]
    job = await client.start("small", DID, algorithm)
    statuses = [seen.status async for seen in client.follow(job.id)]
    assert statuses == [1, 40, 70]
    assert naps.taken[0] == 0.2
    assert naps.taken[:10] == sorted(naps.taken[:10])
    assert max(naps.taken) == 2.0
    assert naps.taken[10:] == [0.2, 0.2 * 1.6, 0.2 * 1.6**2]


async def test_what_a_job_waits_for_is_told_when_it_changes(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.script = [1] * 6 + [40, 70]
    job = await client.start("small", DID, algorithm)
    stand_in.jobs[job.id].queue = ["number 2", "number 2", "number 1", "number 1"]
    seen = [(each.status, each.waits_for) async for each in client.follow(job.id)]
    assert seen == [(1, "number 2"), (1, "number 1"), (40, ""), (70, "")]


async def test_waiting_ends_with_its_time(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.script = [40]
    job = await client.start("small", DID, algorithm)
    with pytest.raises(TimeoutError):
        await client.wait(job.id, timeout_s=0.05)


async def test_an_unknown_job_is_not_found(client: ComputeClient) -> None:
    for call in (client.status, client.stop, client.delete, client.log, client.results):
        with pytest.raises(NotFoundError):
            await call("0" * 32)


async def test_a_log_that_is_not_published_yet_is_not_found(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.script = [40]
    job = await client.start("small", DID, algorithm)
    with pytest.raises(NotFoundError, match="no log yet"):
        await client.log(job.id)


async def test_another_wallets_key_is_refused(
    stand_in: StandIn, make_client: Make, algorithm: RawAlgorithm, wallet: Any
) -> None:
    class Impostor:
        address = wallet.address
        own = Account.create()

        def sign_message(self, signable_message: Any) -> Any:
            return self.own.sign_message(signable_message)

        def sign_typed_data(self, *args: Any, **named: Any) -> Any:
            return self.own.sign_typed_data(*args, **named)

    for typed in (False, True):
        async with make_client(key=Impostor(), typed=typed) as client:
            with pytest.raises(NotAuthorisedError):
                await client.start("small", DID, algorithm)
    assert stand_in.jobs == {}


@pytest.mark.parametrize("fault", [Fault(502), Fault(503), Fault(504), Fault()])
@pytest.mark.parametrize("operation", ["root", "nonce", "computeStop"])
async def test_calls_that_may_be_repeated_are_and_signed_anew(
    client: ComputeClient, stand_in: StandIn, wallet: Any, operation: str, fault: Fault
) -> None:
    job = stand_in.add_job(wallet.address, _request())
    stand_in.spoil(operation, fault, fault)
    assert (await client.stop(job.id)).status == 7
    nonces = {call["nonce"] for call in stand_in.calls("computeStop")}
    assert (len(nonces) > 1) == (operation == "computeStop")


async def test_patience_ends(client: ComputeClient, stand_in: StandIn, naps: Naps) -> None:
    stand_in.spoil("computeEnvironments", *[Fault(503)] * 10)
    with pytest.raises(ProviderUnreachableError, match="try later") as failure:
        await client.environments()
    assert failure.value.status == 503
    assert len(stand_in.calls("computeEnvironments")) == 4
    assert naps.taken == [0.2, 0.2 * 1.6, 0.2 * 1.6**2]


async def test_nobody_at_the_url(wallet: Any, naps: Naps) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    async with ComputeClient(url, wallet, patience=Patience(2, sleep=naps)) as client:
        with pytest.raises(ProviderUnreachableError) as failure:
            await client.jobs()
    assert not failure.value.maybe_received
    assert len(naps.taken) == 1


@pytest.mark.parametrize("status", [400, 404, 409, 500])
async def test_other_refusals_are_not_repeated(
    client: ComputeClient, stand_in: StandIn, status: int
) -> None:
    stand_in.spoil("computeEnvironments", Fault(status, body={"error": "no such chain"}))
    with pytest.raises(RefusedError, match="no such chain") as refusal:
        await client.environments()
    assert refusal.value.status == status
    assert len(stand_in.calls("computeEnvironments")) == 1


@pytest.mark.parametrize("body", ["<html>", "[1]", '{"x": 3}', '"text"'])
async def test_an_answer_that_no_provider_gives(
    client: ComputeClient, stand_in: StandIn, body: str
) -> None:
    stand_in.spoil("computeEnvironments", Fault(200, body=body))
    with pytest.raises(AnswerNotUnderstoodError):
        await client.environments()


async def test_a_web_page_is_no_provider(client: ComputeClient, stand_in: StandIn) -> None:
    stand_in.spoil("root", Fault(200, body={"hello": "world"}))
    with pytest.raises(AnswerNotUnderstoodError, match="no provider at this URL"):
        await client.environments()


async def test_a_redirect_of_a_signed_request_is_not_followed(
    client: ComputeClient, stand_in: StandIn
) -> None:
    stand_in.spoil("computeStatus", Fault(307, body="elsewhere"))
    with pytest.raises(AnswerNotUnderstoodError, match="redirects"):
        await client.jobs()


@pytest.mark.parametrize("url", ["", "localhost:8030", "ftp://x", "http://", "http://[", "//x"])
async def test_what_is_no_url_is_refused(url: str, wallet: Any) -> None:
    with pytest.raises(ClientUsageError):
        async with ComputeClient(url, wallet):
            pass


async def test_a_session_of_the_callers_stays_open(server: TestServer, wallet: Any) -> None:
    async with ClientSession() as session:
        async with ComputeClient(str(server.make_url("")), wallet, session=session) as client:
            await client.environments()
        assert not session.closed


async def test_a_client_outside_its_context_says_so(make_client: Make) -> None:
    with pytest.raises(ClientUsageError, match="async with"):
        await make_client().environments()


async def test_a_start_needs_a_dataset(client: ComputeClient, algorithm: RawAlgorithm) -> None:
    with pytest.raises(ClientUsageError):
        await client.start("small", [], algorithm)


def test_keys_come_as_account_text_or_file(wallet: Any, key_file: Path) -> None:
    for key in (wallet, wallet.key.hex(), "0x" + wallet.key.hex(), key_file, str(key_file)):
        assert ComputeClient("http://localhost", key).address == wallet.address


@pytest.mark.parametrize("content", ["", "zz", "00" * 32, "11" * 33])
def test_a_file_without_a_key_is_refused_unshown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(ClientUsageError) as refusal:
        ComputeClient("http://localhost", path)
    assert not content or content not in str(refusal.value)


def test_a_missing_key_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClientUsageError, match="No such file"):
        ComputeClient("http://localhost", tmp_path / "none")


def _request() -> dict[str, Any]:
    return {"environment": "small", "dataset": {"documentId": DID}, "algorithm": {}}
