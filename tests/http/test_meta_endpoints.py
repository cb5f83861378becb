"""The endpoints that need no signature, and what holds for every URL."""

from __future__ import annotations

import pytest
from ocean_consumer import ALICE, COMPUTE, CONTAINER, SERVICES, Api

from provider.assets.encryption import decrypt
from provider.keys import ProviderKey

NAMES = {
    "nonce": ["GET", "/api/services/nonce"],
    "create_auth_token": ["GET", "/api/services/createAuthToken"],
    "delete_auth_token": ["DELETE", "/api/services/deleteAuthToken"],
    "encrypt": ["POST", "/api/services/encrypt"],
    "decrypt": ["POST", "/api/services/decrypt"],
    "fileinfo": ["POST", "/api/services/fileinfo"],
    "initialize": ["GET", "/api/services/initialize"],
    "computeSample": ["GET", "/api/services/computeSample"],
    "initializeCompute": ["POST", "/api/services/initializeCompute"],
    "download": ["GET", "/api/services/download"],
    "computeStart": ["POST", "/api/services/compute"],
    "computeStatus": ["GET", "/api/services/compute"],
    "computeStop": ["PUT", "/api/services/compute"],
    "computeDelete": ["DELETE", "/api/services/compute"],
    "computeResult": ["GET", "/api/services/computeResult"],
    "computeReceipt": ["GET", "/api/services/computeReceipt"],
    "computeStreamableLogs": ["GET", "/api/services/computeStreamableLogs"],
    "computeHeld": ["GET", "/api/services/computeHeld"],
    "computeHeldResult": ["GET", "/api/services/computeHeldResult"],
    "computeRelease": ["POST", "/api/services/computeRelease"],
    "computeEnvironments": ["GET", "/api/services/computeEnvironments"],
    "validateContainer": ["POST", "/api/services/validateContainer"],
}
NONCE = SERVICES + "nonce"


async def test_the_root_names_all_endpoints_and_the_provider(api: Api) -> None:
    status, root = await api.call("GET", "/")
    assert status == 200
    assert root["serviceEndpoints"] == NAMES
    assert root["providerAddress"] == "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
    assert root["chainIds"] == []


async def test_an_unknown_wallet_has_nonce_one_as_text_and_asking_keeps_nothing(api: Api) -> None:
    for address in (ALICE.address, ALICE.address.lower(), "anything"):
        assert await api.call("GET", NONCE, params={"userAddress": address}) == (
            200,
            {"nonce": "1"},
        )


async def test_the_last_nonce_is_found_whatever_the_casing(api: Api) -> None:
    await api.start(nonce=41, signature=None)
    for address in (ALICE.address, ALICE.address.lower()):
        assert await api.call("GET", NONCE, params={"userAddress": address}) == (
            200,
            {"nonce": "41"},
        )


async def test_environments_are_a_flat_list_with_both_sets_of_names(api: Api) -> None:
    for params in ({}, {"chainId": "8996"}):
        status, listed = await api.call("GET", SERVICES + "computeEnvironments", params=params)
        assert status == 200
        assert [each["id"] for each in listed] == ["small", "members"]
        small = listed[0]
        assert small["nCPU"] == small["cpuNumber"] == 2
        assert small["nGPU"] == small["gpuNumber"] == 0
        assert (small["ramGB"], small["diskGB"], small["maxJobs"]) == (0.5, 1, 3)
        assert small["desc"] == "For tests"
        assert small["maxJobDuration"] == 60
        assert isinstance(small["lastSeen"], str)
        assert (small["priceMin"], small["feeToken"]) == (0, "0x" + "0" * 40)


async def test_an_environments_own_consumer_address_is_shown_else_the_providers(api: Api) -> None:
    _, [small, members] = await api.call("GET", SERVICES + "computeEnvironments")
    assert small["consumerAddress"] == "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
    assert members["consumerAddress"] == "0x00000000000000000000000000000000000000c2"


async def test_current_jobs_are_counted(api: Api) -> None:
    slow = {**CONTAINER, "entrypoint": "sleep 1"}
    meta = {"rawcode": "x", "container": slow}
    dataset = {"documentId": "did:op:open", "serviceId": "compute"}
    await api.start(dataset=dataset, algorithm={"meta": meta})
    _, [small, _] = await api.call("GET", SERVICES + "computeEnvironments")
    assert small["currentJobs"] + small["queuedJobs"] == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 200),
        ({"entrypoint": ""}, "missing_entrypoint_image_checksum"),
        ({"image": None}, "missing_entrypoint_image_checksum"),
        ({"checksum": ""}, "missing_entrypoint_image_checksum"),
        ({"checksum": "md5:abc"}, "checksum_prefix"),
    ],
)
async def test_a_container_section_is_checked(
    api: Api, change: dict[str, object], expected: object
) -> None:
    section = {**CONTAINER, **change}
    status, body = await api.call("POST", SERVICES + "validateContainer", json=section)
    if expected == 200:
        assert (status, body) == (200, section)
    else:
        assert (status, body) == (400, {"error": expected})


async def test_no_container_at_all_is_a_users_mistake(api: Api) -> None:
    status, body = await api.call("POST", SERVICES + "validateContainer")
    assert (status, body) == (400, {"error": "missing_entrypoint_image_checksum"})


async def test_what_is_encrypted_only_the_provider_can_read(api: Api) -> None:
    status, sealed = await api.call(
        "POST",
        SERVICES + "encrypt?chainId=8996",
        data=b"\x00secret",
        headers={"Content-Type": "application/octet-stream"},
    )
    assert status == 201
    assert decrypt(ProviderKey(b"\x11" * 32), sealed.decode()) == b"\x00secret"


@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        ("encrypt", "application/octet-stream", "Missing chainId query parameter."),
        (
            "encrypt?chainId=1",
            "application/octet-stream; charset=utf-8",
            "Invalid request content type: should be application/octet-stream",
        ),
    ],
)
async def test_encrypting_wants_a_chain_and_plain_bytes(
    api: Api, path: str, kind: str, text: str
) -> None:
    answer = await api.call("POST", SERVICES + path, data=b"x", headers={"Content-Type": kind})
    assert answer == (400, {"error": text})


@pytest.mark.parametrize("name", ["decrypt", "fileinfo", "initialize", "download"])
async def test_endpoints_about_assets_name_the_field_that_is_missing(api: Api, name: str) -> None:
    method, path = NAMES[name]
    status, body = await api.call(method, path)
    assert status == 400
    assert body.get("errors") or body.get("error")


@pytest.mark.parametrize(
    "path", ["//api/services/nonce", "/api//services/nonce", "///api///services//nonce"]
)
async def test_repeated_slashes_count_as_one(api: Api, path: str) -> None:
    url = api.client.make_url("/").with_path(path, encoded=True).with_query(userAddress="a")
    async with api.client.session.get(url) as response:
        assert (response.status, await response.json()) == (200, {"nonce": "1"})


async def test_repeated_slashes_keep_the_rules_of_methods_and_paths(api: Api) -> None:
    base = api.client.make_url("/")
    for method, path, status in (
        ("POST", "//api/services/nonce", 405),
        ("GET", "//api/services/none", 404),
        ("GET", "//api/services/nonce//", 404),
    ):
        url = base.with_path(path, encoded=True)
        async with api.client.session.request(method, url) as response:
            assert response.status == status
            assert (await response.json())["context"] is None


@pytest.mark.parametrize("path", ["/nothing", "/api/services/nonce/", "/api/services", "/api/v1/"])
async def test_unknown_paths_answer_404_as_json(api: Api, path: str) -> None:
    status, body = await api.call("GET", path)
    assert status == 404
    assert body["error"].startswith("404 Not Found: ")
    assert body["context"] is None


async def test_a_wrong_method_answers_405_as_json(api: Api) -> None:
    async with api.client.request("PATCH", COMPUTE) as response:
        assert response.status == 405
        assert response.headers["Allow"]
        assert "405" in (await response.json())["error"]


async def test_a_browsers_preflight_is_answered(api: Api) -> None:
    headers = {"Origin": "https://market.example", "Access-Control-Request-Headers": "content-type"}
    async with api.client.options(COMPUTE, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        assert await response.read() == b""
        assert response.headers["Access-Control-Allow-Origin"] == "https://market.example"
        assert response.headers["Access-Control-Allow-Headers"] == "content-type"
        assert (
            response.headers["Access-Control-Allow-Methods"]
            == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
        )


async def test_every_answer_may_be_read_across_origins(api: Api) -> None:
    async with api.client.get("/nothing", headers={"Origin": "https://a.example"}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert response.headers["Vary"] == "Origin"
    async with api.client.get("/") as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Vary" not in response.headers


async def test_a_request_id_is_echoed_if_it_is_sane(api: Api) -> None:
    async with api.client.get("/", headers={"X-Request-Id": "trace-1.2"}) as response:
        assert response.headers["X-Request-Id"] == "trace-1.2"
    for odd in ("a b", "x" * 65, "<script>"):
        async with api.client.get("/", headers={"X-Request-Id": odd}) as response:
            assert response.headers["X-Request-Id"] not in {odd, ""}


async def test_head_works_where_old_servers_had_it_and_not_on_nonce(api: Api) -> None:
    for path, status in (
        ("/", 200),
        (SERVICES + "computeEnvironments", 200),
        (COMPUTE + "?jobId=x", 200),
        (NONCE, 400),
        (NONCE + "?userAddress=a", 405),
        (SERVICES + "createAuthToken", 405),
    ):
        async with api.client.head(path) as response:
            assert response.status == status, path
            assert await response.read() == b""
