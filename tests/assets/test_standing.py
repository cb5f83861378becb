"""What allowed a job at its start is judged again after its wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asset_documents import ALGORITHM, DATASET, algorithm, compute_rules, dataset, service, write

from compute.errors import InputUnavailable
from compute.models import AlgorithmItem, DatasetItem, Image, JobSpec
from provider.assets import standing
from provider.assets.catalogue import FolderCatalogue

OWNER = "0x" + "ab" * 20
CHECKSUM = "sha256:" + "5" * 64


def spec(*, published: bool, network: bool = False, sha256: list[str] | None = None) -> JobSpec:
    image = Image(image="python", checksum=CHECKSUM)
    item = AlgorithmItem(image=image, entrypoint="python $ALGO")
    if published:
        source: dict[str, Any] = {} if sha256 is None else {"sha256": sha256}
        service_id = algorithm()["services"][0]["id"]
        item = item.model_copy(
            update={"did": ALGORITHM, "service_id": service_id, "source": source}
        )
    data = DatasetItem(did=DATASET, service_id="compute-1")
    return JobSpec(datasets=(data,), algorithm=item, network=network, max_duration_s=60)


class Folder:
    """A folder of two documents that a test changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.catalogue = FolderCatalogue(path, fresh_for_s=0)
        self.data()
        write(path, "algorithm.json", algorithm())

    def data(self, credentials: dict[str, Any] | None = None, **rules: Any) -> None:
        compute = compute_rules(**({"allowRawAlgorithm": True} | rules))
        changes = {} if credentials is None else {"credentials": credentials}
        write(self.path, "dataset.json", dataset(services=[service(compute=compute)], **changes))

    async def refusal(self, job: JobSpec) -> InputUnavailable:
        with pytest.raises(InputUnavailable) as caught:
            await standing.check(self.catalogue, OWNER, job)
        return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("published", [False, True])
async def test_what_is_still_allowed_runs(folder: Folder, published: bool) -> None:
    await standing.check(folder.catalogue, OWNER, spec(published=published))


@pytest.mark.parametrize("published", [False, True])
async def test_a_wallet_denied_meanwhile(folder: Folder, published: bool) -> None:
    folder.data({"deny": [{"type": "address", "values": [OWNER]}], "allow": []})
    refusal = await folder.refusal(spec(published=published))
    assert DATASET in refusal.public
    assert not refusal.temporary


async def test_raw_algorithms_forbidden_meanwhile(folder: Folder) -> None:
    folder.data(allowRawAlgorithm=False)
    assert "no_raw_algo_allowed" in (await folder.refusal(spec(published=False))).public


async def test_an_algorithm_taken_off_the_list(folder: Folder) -> None:
    folder.data(publisherTrustedAlgorithms=[{"did": "did:op:" + "9" * 64}])
    assert "not_trusted_algo" in (await folder.refusal(spec(published=True))).public


async def test_a_checksum_demanded_meanwhile_is_held_against_the_pinned_files(
    folder: Folder,
) -> None:
    folder.data(publisherTrustedAlgorithms=[{"did": ALGORITHM, "filesChecksum": "a" * 64}])
    await standing.check(folder.catalogue, OWNER, spec(published=True, sha256=["a" * 64]))
    for sha256 in (["b" * 64], None):
        refusal = await folder.refusal(spec(published=True, sha256=sha256))
        assert "algorithm_file_checksum_mismatch" in refusal.public


async def test_network_withdrawn_meanwhile(folder: Folder) -> None:
    folder.data(allowNetworkAccess=True)
    await standing.check(folder.catalogue, OWNER, spec(published=False, network=True))
    folder.data(allowNetworkAccess=False)
    await folder.refusal(spec(published=False, network=True))


@pytest.mark.parametrize("name", ["dataset.json", "algorithm.json"])
async def test_an_asset_removed_meanwhile(folder: Folder, name: str) -> None:
    (folder.path / name).unlink()
    await folder.refusal(spec(published=True))
