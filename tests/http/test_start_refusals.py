"""What a start and a quote refuse, and in which words. Nothing is kept of any of it."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from ocean_consumer import (
    ACCESS,
    ALGORITHM,
    ALICE,
    BOB,
    CODE,
    COMPUTE,
    CONTAINER,
    DATA,
    IMAGE_ID,
    OPEN,
    PICKY,
    PRIVATE,
    Api,
    Serve,
    algorithm_ddo,
    ddo,
    service,
)
from start_bodies import PUBLISHED, dataset, raw

from compute.engines.fake import FakeRun

RAW_ALLOWED = {"dataset": dataset(OPEN)}

KEYED: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"dataset": dataset("did:op:none")}, {"dataset.documentId": "did_not_found"}),
    ({"dataset": dataset("../../etc/passwd")}, {"dataset.documentId": "did_not_found"}),
    ({"dataset": dataset("did:op:../x")}, {"dataset.documentId": "did_not_found"}),
    ({"dataset": dataset(DATA, "none")}, {"dataset.serviceId": "not_found"}),
    ({"dataset": dataset(ACCESS, "access")}, {"dataset.serviceId": "main_service_compute"}),
    (
        {"dataset": dataset(PRIVATE)},
        {
            "dataset": f"Error: Access to asset {PRIVATE} was denied with code:"
            " ConsumableCodes.CREDENTIAL_NOT_IN_ALLOW_LIST."
        },
    ),
    ({"algorithm": raw()}, {"dataset": "no_raw_algo_allowed"}),
    (
        {**RAW_ALLOWED, "algorithm": raw(), "additionalDatasets": [dataset()]},
        {"datasets[1]": "no_raw_algo_allowed"},
    ),
    ({"additionalDatasets": "x"}, {"additional_input": "invalid"}),
    ({"additionalDatasets": {"a": 1}}, {"additional_input": "invalid"}),
    ({"additionalDatasets": ["x"]}, {"additional_input": "invalid"}),
    ({"additionalDatasets": [{}] * 65}, {"additional_input": "invalid"}),
    ({"additionalDatasets": [{}]}, {"datasets[1].documentId": "missing"}),
    ({"additionalDatasets": [{"documentId": DATA}]}, {"datasets[1].serviceId": "missing"}),
    ({"additionalDatasets": [dataset("did:op:no")]}, {"datasets[1].documentId": "did_not_found"}),
    ({"algorithm": {**PUBLISHED, "documentId": "did:op:no"}}, {"algorithm": "did_not_found"}),
    ({"algorithm": {**PUBLISHED, "documentId": ACCESS}}, {"algorithm": "not_algo"}),
    ({"algorithm": {**PUBLISHED, "serviceId": "no"}}, {"algorithm.serviceId": "not_found"}),
    ({"algorithm": {**PUBLISHED, **raw()}}, {"algorithm": "either_meta_or_documentId"}),
    ({"output": "nonsense"}, {"output": "invalid"}),
    ({"output": ["x"]}, {"output": "invalid"}),
]

META_SHAPES: list[Any] = [
    "nonsense",
    ["x"],
    {"container": CONTAINER},
    {"rawcode": "a", "url": "http://x", "container": CONTAINER},
    {"remote": "a", "container": CONTAINER},
    {"rawcode": 7, "container": CONTAINER},
    {"url": 7, "container": CONTAINER},
]
KEYED += [
    ({**RAW_ALLOWED, "algorithm": {"meta": meta}}, {"algorithm": "meta_oneof_url_rawcode_remote"})
    for meta in META_SHAPES
]

CONTAINERS: list[tuple[dict[str, Any], str]] = [
    ({"image": ""}, "missing_entrypoint_image_checksum"),
    ({"entrypoint": None}, "missing_entrypoint_image_checksum"),
    ({"checksum": ["x"]}, "missing_entrypoint_image_checksum"),
    ({"image": "a\0b"}, "missing_entrypoint_image_checksum"),
    ({"checksum": "latest"}, "checksum_prefix"),
    ({"checksum": "sha256:not hex"}, "checksum_malformed"),
    ({"image": "--privileged"}, "image_malformed"),
    ({"image": "example/python other"}, "image_malformed"),
    ({"image": "example/Python"}, "image_malformed"),
    ({"image": "example//python"}, "image_malformed"),
    ({"image": "example/python:3"}, "image_malformed"),
    ({"tag": "../../x"}, "tag_malformed"),
    ({"entrypoint": "python 'open"}, "entrypoint_malformed"),
    ({"entrypoint": "x" * 4097}, "entrypoint_malformed"),
    ({"image": "other/image"}, "image_not_allowed"),
    ({"image": "example/python:80/x"}, "image_malformed"),
]
KEYED += [
    ({**RAW_ALLOWED, "algorithm": raw(**change)}, {"algorithm.container": code})
    for change, code in CONTAINERS
]
KEYED += [
    (
        {**RAW_ALLOWED, "environment": "members", "algorithm": raw(image=name)},
        {"algorithm.container": "image_not_allowed"},
    )
    for name in ("127.0.0.1:8080/internal/admin", "localhost/x", "registry.example/team/x")
]
KEYED.append(
    (
        {**RAW_ALLOWED, "algorithm": {"meta": {"rawcode": "x"}}},
        {"algorithm.container": "missing_entrypoint_image_checksum"},
    )
)


@pytest.mark.parametrize(("changes", "error"), KEYED)
async def test_rules_answer_by_resource_and_code(
    api: Api, changes: dict[str, Any], error: dict[str, str]
) -> None:
    answer = await api.call("POST", COMPUTE, json=api.start_body(**changes))
    assert answer == (400, {"error": error})
    _, jobs = await api.call("GET", COMPUTE, params={"consumerAddress": ALICE.address})
    assert jobs == []


FIELDS: list[tuple[dict[str, Any], dict[str, list[str]]]] = [
    ({"environment": None}, {"environment": ["The environment field is required."]}),
    (
        {"dataset": None},
        {
            "dataset.documentId": ["The dataset.documentId field is required."],
            "dataset.serviceId": ["The dataset.serviceId field is required."],
        },
    ),
    (
        {"dataset": dataset(DATA, "")},
        {"dataset.serviceId": ["The dataset.serviceId field is required."]},
    ),
    (
        {"algorithm": None},
        {
            f"algorithm.{name}": [
                f"The algorithm.{name} field is required when algorithm.meta is not present."
            ]
            for name in ("documentId", "serviceId")
        },
    ),
    (
        {"dataset": dataset(userdata={"year": "soon"})},
        {"dataset.userdata.year": ["The dataset.userdata.year must be a number."]},
    ),
    (
        {"algorithm": {**PUBLISHED, "algocustomdata": {"depth": "deep"}}},
        {
            "algorithm.algocustomdata.depth": [
                "The algorithm.algocustomdata.depth must be a number."
            ]
        },
    ),
    (
        {"dataset": dataset("x" * 257)},
        {"dataset.documentId": ["The dataset.documentId format is invalid."]},
    ),
    (
        {"dataset": dataset(DATA, "x" * 257)},
        {"dataset.serviceId": ["The dataset.serviceId format is invalid."]},
    ),
    (
        {"algorithm": {**PUBLISHED, "documentId": "x" * 257}},
        {"algorithm.documentId": ["The algorithm.documentId format is invalid."]},
    ),
    (
        {"dataset": dataset(userdata={"note": "x" * 65536})},
        {"dataset.userdata": ["The dataset.userdata may be at most 65536 characters of JSON."]},
    ),
    (
        {"algorithm": {**PUBLISHED, "algocustomdata": '{"note": "' + "x" * 65536 + '"}'}},
        {
            "algorithm.algocustomdata": [
                "The algorithm.algocustomdata may be at most 65536 characters of JSON."
            ]
        },
    ),
    (
        {**RAW_ALLOWED, "algorithm": raw("x" * 262145)},
        {
            "algorithm.meta.rawcode": [
                "The algorithm.meta.rawcode may be at most 262144 characters. Use a url for more."
            ]
        },
    ),
]
FIELDS += [
    (
        {"dataset": dataset(transferTxId=order)},
        {"dataset.transferTxId": ["The dataset.transferTxId format is invalid."]},
    )
    for order in ("0x", "x" * 66, "0x" + "0" * 63, "0x" + "0" * 65)
]


@pytest.mark.parametrize(("changes", "errors"), FIELDS)
async def test_field_rules_answer_by_dotted_name(
    api: Api, changes: dict[str, Any], errors: dict[str, list[str]]
) -> None:
    status, answer = await api.call("POST", COMPUTE, json=api.start_body(**changes))
    assert status == 400
    assert answer == {"success": False, "message": "Validation error", "errors": errors}


async def test_an_unknown_environment_is_refused_before_the_signature_is_read(api: Api) -> None:
    body = api.start_body(environment="nowhere", signature="0x00")
    answer = await api.call("POST", COMPUTE, json=body)
    assert answer == (400, {"error": "Compute environment does not exist"})


async def test_a_wallet_that_may_not_use_the_environment_is_told_so(api: Api) -> None:
    status, answer = await api.call(
        "POST", COMPUTE, json=api.start_body(BOB, environment="members")
    )
    assert (status, answer) == (403, {"error": "This address may not use the compute environment."})


async def test_a_file_object_of_the_consumers_is_checked_but_never_repeated(api: Api) -> None:
    for url in ({"type": "localfile", "path": "/etc/passwd"}, {"type": "azure", "hash": "x"}):
        meta = {"url": url, "container": CONTAINER}
        body = api.start_body(dataset=dataset(OPEN), algorithm={"meta": meta})
        status, answer = await api.call("POST", COMPUTE, json=body)
        assert status == 400
        assert answer["error"].startswith("Unsupported type")


async def test_a_full_queue_answers_429(api: Api) -> None:
    sleeping = raw(entrypoint="sleep 1")
    statuses = []
    for _ in range(9):
        body = api.start_body(dataset=dataset(OPEN), algorithm=sleeping)
        statuses.append((await api.call("POST", COMPUTE, json=body))[0])
    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert set(statuses) == {200, 429}


async def test_one_wallet_cannot_fill_the_queue(folder: Path, serve: Serve) -> None:
    path = folder / "environments.yaml"
    path.write_text(path.read_text().replace("maxQueue: 5", "maxQueuePerConsumer: 1"))
    api = await serve({"sleep": until_told})
    sleeping = {"dataset": dataset(OPEN), "algorithm": raw(entrypoint="sleep 1")}
    for _ in range(4):
        status, answer = await api.call("POST", COMPUTE, json=api.start_body(**sleeping))
        assert status == 200
        if len(api.world.containers) == 3:
            break
    while status == 200:
        status, answer = await api.call("POST", COMPUTE, json=api.start_body(**sleeping))
    assert (status, answer["error"].split()[:2]) == (429, ["This", "wallet"])
    assert (await api.call("POST", COMPUTE, json=api.start_body(BOB, **sleeping)))[0] == 200


async def until_told(run: FakeRun) -> int:
    await run.stopping.wait()
    return 143


async def test_a_long_entrypoint_of_a_published_algorithm_is_refused_in_no_time(
    folder: Path, serve: Serve
) -> None:
    document = algorithm_ddo("did:op:long")
    container = {**CONTAINER, "entrypoint": "x" * 1_000_000}
    document["metadata"]["algorithm"] = {"container": container}
    published(folder, document)
    api = await serve()
    began = time.process_time()
    algorithm = {**PUBLISHED, "documentId": "did:op:long"}
    answer = await api.call("POST", COMPUTE, json=api.start_body(algorithm=algorithm))
    assert answer == (400, {"error": {"algorithm.container": "entrypoint_malformed"}})
    assert time.process_time() - began < 2, "splitting it takes sixteen seconds"


# Trust


def published(folder: Path, document: dict[str, Any]) -> None:
    name = document["id"].removeprefix("did:op:")
    (folder / "assets" / f"{name}.json").write_text(json.dumps(document))


async def test_a_trusted_algorithm_runs_and_a_changed_one_does_not(api: Api, folder: Path) -> None:
    job_id = await api.start(dataset=dataset(PICKY))
    assert (await api.finished(job_id))["status"] == 70
    (folder / "files" / "algo.py").write_bytes(CODE + b"# changed\n")
    body = api.start_body(dataset=dataset(PICKY))
    answer = await api.call("POST", COMPUTE, json=body)
    assert answer == (400, {"error": {"dataset": "algorithm_file_checksum_mismatch"}})


async def test_an_algorithm_that_is_not_listed_is_not_trusted(serve: Serve, folder: Path) -> None:
    published(folder, algorithm_ddo("did:op:another"))
    api = await serve()
    body = api.start_body(
        dataset=dataset(PICKY), algorithm={**PUBLISHED, "documentId": "did:op:another"}
    )
    answer = await api.call("POST", COMPUTE, json=body)
    assert answer == (400, {"error": {"dataset": "not_trusted_algo"}})


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (
            {"publisherTrustedAlgorithmPublishers": [ALICE.address]},
            "not_trusted_algo_publisher",
        ),
        (
            {"publisherTrustedAlgorithms": [{"did": ALGORITHM, "containerSectionChecksum": "0"}]},
            "algorithm_container_checksum_mismatch",
        ),
        ({"publisherTrustedAlgorithms": [{"filesChecksum": "0"}]}, "no_publisherTrustedAlgorithms"),
    ],
)
async def test_trust_lists_refuse_by_code(
    serve: Serve, folder: Path, rules: dict[str, Any], code: str
) -> None:
    published(folder, ddo("did:op:strict", service(compute=rules)))
    api = await serve()
    body = api.start_body(dataset=dataset("did:op:strict"))
    assert await api.call("POST", COMPUTE, json=body) == (400, {"error": {"dataset": code}})


async def test_a_trusted_container_is_recognised(serve: Serve, folder: Path) -> None:
    checksum = hashlib.sha256(f"python $ALGO{IMAGE_ID}".encode()).hexdigest()
    entry = {"did": ALGORITHM, "containerSectionChecksum": checksum}
    rules = {
        "publisherTrustedAlgorithms": [entry],
        "publisherTrustedAlgorithmPublishers": [BOB.address.lower()],
    }
    published(folder, ddo("did:op:strict", service(compute=rules)))
    api = await serve()
    await api.start(dataset=dataset("did:op:strict"))


async def test_an_algorithm_whose_file_is_gone_cannot_be_judged(api: Api, folder: Path) -> None:
    (folder / "files" / "algo.py").unlink()
    body = api.start_body(dataset=dataset(PICKY))
    answer = await api.call("POST", COMPUTE, json=body)
    assert answer == (400, {"error": {"algorithm": "file_unavailable"}})


@pytest.mark.parametrize(
    ("document", "changes", "error"),
    [
        (
            ddo("did:op:else", service(files="0x04" + "ab" * 120)),
            {"dataset": dataset("did:op:else")},
            {"dataset.serviceId": "compute_services_not_in_same_provider"},
        ),
        (
            ddo("did:op:else", service("stream")),
            {"dataset": dataset("did:op:else", "stream")},
            {"dataset.serviceId": "service_not_access_compute"},
        ),
        (
            algorithm_ddo("did:op:else") | {"services": [service(files="0x04" + "ab" * 120)]},
            {"algorithm": {"documentId": "did:op:else", "serviceId": "compute"}},
            {"algorithm": "compute_services_not_in_same_provider"},
        ),
        (
            algorithm_ddo("did:op:else", nft={"state": 3}),
            {"algorithm": {**PUBLISHED, "documentId": "did:op:else"}},
            {
                "algorithm.credentials": "Error: Access to asset did:op:else was denied with"
                " code: ConsumableCodes.ASSET_DISABLED."
            },
        ),
    ],
)
async def test_assets_that_cannot_be_used_here_are_refused(
    serve: Serve,
    folder: Path,
    document: dict[str, Any],
    changes: dict[str, Any],
    error: dict[str, str],
) -> None:
    published(folder, document)
    api = await serve()
    answer = await api.call("POST", COMPUTE, json=api.start_body(**changes))
    assert answer == (400, {"error": error})


# What is let through


async def test_json_texts_stand_for_objects(api: Api) -> None:
    body = api.start_body(
        dataset=dataset(OPEN),
        additionalDatasets=json.dumps([dataset(ACCESS, "access")]),
        algorithm={"meta": json.dumps(raw()["meta"])},
        output="{}",
    )
    status, [job] = await api.call("POST", COMPUTE, json=body)
    assert status == 200
    assert job["inputDID"] == [OPEN, ACCESS]


async def test_ocean_pys_ignored_key_and_empty_parts_do_no_harm(api: Api) -> None:
    await api.start(additionalInputs=[], additionalDatasets=[], output={}, jobId="")
    algorithm = {**PUBLISHED, "meta": None}
    await api.start(algorithm=algorithm, additionalDatasets="")


@pytest.mark.parametrize(
    ("datasets", "network"),
    [([dataset(OPEN)], True), ([dataset()], False), ([dataset(OPEN), dataset()], False)],
)
async def test_the_network_is_given_only_when_all_datasets_agree(
    api: Api, datasets: list[dict[str, Any]], network: bool
) -> None:
    networks = []

    async def look(run: FakeRun) -> int:
        networks.append(run.spec.network)
        return 0

    api.world.programs["python"] = look
    main, *more = datasets
    await api.finished(await api.start(dataset=main, additionalDatasets=more))
    assert networks == ["bridge" if network else "none"]


async def test_a_service_with_more_files_than_are_served(folder: Path, serve: Serve) -> None:
    files = [{"type": "localfile", "path": "data.csv"}] * 1001
    published(folder, ddo("did:op:many", service(files=files)))
    api = await serve()
    body = api.start_body(dataset=dataset("did:op:many"))
    status, answer = await api.call("POST", COMPUTE, json=body)
    assert status == 400
    assert "1001 files; at most 1000" in str(answer)
