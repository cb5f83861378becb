"""A supplier's files that are elsewhere, of further kinds, or named by strangers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asset_documents import DATASET, dataset, service, url_file, write
from asset_fetching import LOOPBACK, read
from asset_origins import Origin
from other_provider import ORDER, OtherProvider

from compute.errors import InputUnavailable
from compute.models import AlgorithmItem, DatasetItem, Image
from compute.supply import InputFile
from provider.assets.catalogue import Catalogue, FolderCatalogue
from provider.assets.ddo import Ddo
from provider.assets.encryption import seal_url_file
from provider.assets.fetch import Fetcher
from provider.assets.origins.http import Gateways
from provider.assets.supplier import AssetSupplier
from provider.errors import ChainUnavailable, FileObjectInvalid
from provider.keys import ProviderKey

KEY = ProviderKey.from_text("11" * 32)
SEALED_ELSEWHERE = "0x04" + "ab" * 200


class House:
    """A supplier over a folder, whose gateways are a test's origin."""

    def __init__(self, folder: Path, fetcher: Fetcher, origin: Origin) -> None:
        self.folder = folder
        self.catalogue = FolderCatalogue(folder, fresh_for_s=0)
        self.gateways = Gateways(origin.url("/gate"), origin.url("/weave"))
        self.supplier = AssetSupplier(
            self.catalogue, KEY, fetcher, data_folder=folder, gateways=self.gateways
        )

    async def publish(self, files: Any, **changes: Any) -> Ddo:
        listed = [service(files=files, **changes)]
        write(self.folder, "dataset.json", dataset(services=listed))
        return await self.catalogue.resolve(DATASET)

    async def files(self, **source: Any) -> list[InputFile]:
        item = DatasetItem(did=DATASET, service_id="compute-1", source=source)
        return list(await self.supplier.dataset(item))


@pytest.fixture
async def house(tmp_path: Path, origin: Origin) -> AsyncIterator[House]:
    async with Fetcher(allowed_networks=LOOPBACK) as fetcher:
        yield House(tmp_path, fetcher, origin)


@pytest.fixture
def other(origin: Origin) -> OtherProvider:
    return OtherProvider(origin, KEY.address, b"one", b"three")


async def content(file: InputFile) -> bytes:
    async with file.open(None) as download:
        return await read(download)


def away(other: OtherProvider) -> dict[str, str]:
    return {"endpoint": other.url, "order": ORDER}


async def test_files_of_another_provider(house: House, other: OtherProvider) -> None:
    await house.publish(SEALED_ELSEWHERE, serviceEndpoint=other.url)
    files = await house.files(remote=away(other), userdata={"a": 1})
    assert [await content(file) for file in files] == [b"one", b"three"]
    assert json.loads(other.queries[0]["userdata"]) == {"a": 1}
    with pytest.raises(InputUnavailable, match="cannot decrypt"):
        await house.files()


async def test_a_service_elsewhere_that_is_gone_is_not_asked_for(
    house: House, other: OtherProvider
) -> None:
    await house.publish(SEALED_ELSEWHERE, id="compute-2")
    with pytest.raises(InputUnavailable, match="no such service"):
        await house.files(remote=away(other))
    assert other.origin.requests == []


async def test_files_elsewhere_must_be_those_that_were_judged(
    house: House, other: OtherProvider
) -> None:
    await house.publish(SEALED_ELSEWHERE)
    with pytest.raises(InputUnavailable, match="list of files has changed"):
        await house.files(remote=away(other), sha256=["ab" * 32])
    one, _ = await house.files(remote=away(other), sha256=["AB" * 32, "cd" * 32])
    assert one.sha256 == "ab" * 32


async def test_checksums_elsewhere_are_asked_for(house: House, other: OtherProvider) -> None:
    ddo = await house.publish(SEALED_ELSEWHERE, serviceEndpoint=other.url)
    (listed,) = ddo.services
    digests = [hashlib.sha256(each).hexdigest() for each in (b"one", b"three")]
    assert await house.supplier.file_checksums(ddo, listed, remote=True) == digests
    other.tells_checksums = False
    with pytest.raises(InputUnavailable, match="checksums"):
        await house.supplier.file_checksums(ddo, listed, remote=True)


async def test_source_files_come_in_order_unasked(house: House, origin: Origin) -> None:
    origin.serve("/gate/ipfs/QmX", b"x")
    ddo = await house.publish([{"type": "ipfs", "hash": "QmX"}, url_file("https://e.example/t")])
    files = await house.supplier.source_files(ddo, ddo.services[0])
    assert [file.type for file in files] == ["ipfs", "url"]
    assert origin.requests == []
    assert await content(files[0]) == b"x"


async def test_source_files_take_userdata(house: House, origin: Origin) -> None:
    ddo = await house.publish([url_file(origin.serve("/t", b"x"))])
    (file,) = await house.supplier.source_files(ddo, ddo.services[0], {"a": 1})
    await content(file)
    assert origin.requests[0].query_string == "a=1"


async def test_a_document_from_elsewhere_names_no_local_file(house: House) -> None:
    """Also in a catalogue that joins the operator's folder with what others publish."""
    (house.folder / "t.csv").write_bytes(b"x")
    raw = dataset(services=[service(files=[{"type": "localfile", "path": "t.csv"}])])
    foreign, own = Ddo.parse(raw), Ddo.parse(raw, local=True)
    with pytest.raises(InputUnavailable, match="not served"):
        await house.supplier.source_files(foreign, foreign.services[0])
    (file,) = await house.supplier.source_files(own, own.services[0])
    assert file.path == house.folder / "t.csv"


async def test_files_that_a_stranger_names(house: House, origin: Origin) -> None:
    origin.serve("/weave/tx", b"x")
    file = house.supplier.stranger_file({"type": "arweave", "transactionId": "tx"})
    assert (await file.probe()).size == 1
    (house.folder / "t.csv").write_bytes(b"x")
    for kind in ("localfile", "file"):
        with pytest.raises(FileObjectInvalid, match=f"Unsupported type {kind}"):
            house.supplier.stranger_file({"type": kind, "path": "t.csv"})
    with pytest.raises(FileObjectInvalid, match="malformed file object"):
        house.supplier.stranger_file(None)


async def test_a_consumers_algorithm_on_a_gateway(house: House, origin: Origin) -> None:
    origin.serve("/gate/ipfs/QmX/mean.py", b"print()")
    origin.serve("/weave/tx", b"print(1)")
    for raw, code in (
        ({"type": "ipfs", "hash": "QmX/mean.py"}, b"print()"),
        ({"type": "arweave", "transactionId": "tx"}, b"print(1)"),
    ):
        source = {"sealed": seal_url_file(raw, KEY)}
        item = AlgorithmItem(image=Image(image="x"), entrypoint="sh", source=source)
        (file,) = await house.supplier.algorithm(item)
        assert await content(file) == code


class Faulty(Catalogue):
    """A catalogue on a chain that cannot be asked."""

    async def resolve(self, did: str) -> Ddo:
        raise ChainUnavailable(8996)


async def test_a_chain_that_cannot_be_asked_is_worth_another_try(house: House) -> None:
    async with Fetcher() as fetcher:
        supplier = AssetSupplier(Faulty(), KEY, fetcher)
        with pytest.raises(InputUnavailable) as caught:
            await supplier.dataset(DatasetItem(did=DATASET, service_id="compute-1"))
    assert caught.value.temporary
