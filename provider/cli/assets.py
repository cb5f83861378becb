"""What the commands about assets do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provider.cli.actions import Target, run
from provider.cli.output import print_json, print_line, print_table
from provider.cli.paying import Bought, Purse
from provider.cli.requests import read_json
from provider.cli.watching import transfer_bars
from provider.client import ComputeClient, FileInfo, NotFoundError, Result
from provider.client.errors import plain
from provider.client.models import Dataset, split_asset


def info(target: Target, asset: str, service: str, *, checksum: bool, userdata: str) -> None:
    """Without a key any will do: nothing is signed."""
    key: Any = target.key or "1".zfill(64)

    async def work() -> tuple[Mapping[str, Any], list[FileInfo]]:
        parameters = read_json("--userdata", userdata)
        chosen = Dataset(*split_asset(asset, service), parameters)
        async with ComputeClient(target.url, key, metadata_url=target.metadata_url) as client:
            files = await client.fileinfo(chosen, checksum=checksum)
            try:
                return await client.asset(chosen.did), files
            except NotFoundError:
                return {}, files

    document, files = run(work)
    if target.as_json:
        print_json({"asset": document or None, "files": [file.raw for file in files]})
        return
    _, service_id = split_asset(asset, service)
    for name, value in _facts(document, service_id):
        print_line(f"{name}\t{plain(value, 200)}")
    columns = ["index", "bytes", "type", "file", "sha256"]
    print_table(columns, [_row(file) for file in files])


def _facts(document: Mapping[str, Any], service_id: str) -> list[tuple[str, str]]:
    """What a buyer wants to know, as far as the document tells it."""
    metadata = _object(document.get("metadata"))
    services = document.get("services")
    chosen: Mapping[str, Any] = next(
        (
            service
            for service in (services if isinstance(services, list) else [])
            if isinstance(service, dict) and service.get("id") == service_id
        ),
        {},
    )
    told = {
        "name": metadata.get("name"),
        "type": metadata.get("type"),
        "owner": _object(document.get("nft")).get("owner"),
        "chain": document.get("chainId"),
        "service": chosen.get("type"),
        "datatoken": chosen.get("datatokenAddress"),
        "order lasts": _lasts(chosen.get("timeout")),
    }
    return [(name, str(value)) for name, value in told.items() if value not in (None, "")]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _lasts(timeout: Any) -> str | None:
    if timeout is None:
        return None
    return "for ever" if timeout == 0 else f"{timeout} s"


def _row(file: FileInfo) -> list[str]:
    size = "-" if file.size is None else str(file.size)
    kind = plain(file.content_type or file.type, 60) if file.valid else "not available"
    return [str(file.index), size, kind, plain(file.filename, 300), plain(file.checksum, 64)]


def download(
    target: Target,
    asset: str,
    service: str,
    index: int,
    to: str,
    *,
    order: str,
    userdata: str,
    purse: Purse,
    overwrite: bool,
) -> None:
    bought = Bought(purse, several=False)

    async def work() -> Path:
        did, service_id = split_asset(asset, service)
        parameters = read_json("--userdata", userdata)
        chosen = Dataset(did, service_id, parameters, order or None)
        wallet = purse.wallet(target.key)
        async with target.client() as client:
            if wallet is not None:
                found = await client.destination(chosen, to, index=index, overwrite=overwrite)
                if found.here:
                    return found.path
                chosen = await client.order_access(
                    chosen, pay=wallet, most_fee=purse.most_fee, told=bought
                )
            with transfer_bars() as bars:
                one = Result(index, f"file {index}", None, "")
                return await client.download_asset(
                    chosen,
                    to,
                    index=index,
                    progress=lambda *told: bars(one, *told),
                    overwrite=overwrite,
                )

    interrupted = "Interrupted. With the same order the command goes on."
    path = run(work, lambda: interrupted, bought.advice)
    if target.as_json:
        print_json([str(path)])
    else:
        print_line(str(path))
