"""From the options of ``start`` to what the client takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provider.cli.paying import orders_by_asset
from provider.client.errors import ClientUsageError, plain
from provider.client.models import (
    Algorithm,
    Dataset,
    PublishedAlgorithm,
    RawAlgorithm,
    split_asset,
)


@dataclass(frozen=True, slots=True)
class Request:
    """The options as they were typed. Its methods raise ClientUsageError."""

    environment: str
    datasets: tuple[str, ...]
    algorithm: str
    image: str
    tag: str
    checksum: str
    entrypoint: str
    service: str
    userdata: str
    algorithm_userdata: str
    algocustomdata: str
    orders: tuple[str, ...] = ()
    duration_s: int | None = None
    encrypt: bool = False
    encrypt_to: str = ""

    def the_datasets(self) -> list[Dataset]:
        userdata = read_json("--userdata", self.userdata)
        return [
            Dataset(
                *split_asset(asset, self.service),
                userdata if position == 0 else None,
                self._order_of(asset),
            )
            for position, asset in enumerate(self.datasets)
        ]

    def the_algorithm(self) -> Algorithm:
        """A file is sent; anything that starts with ``did:`` is published."""
        custom_data = read_json("--algocustomdata", self.algocustomdata)
        userdata = read_json("--algorithm-userdata", self.algorithm_userdata)
        if self.algorithm.startswith("did:"):
            if self.image or self.tag or self.checksum or self.entrypoint:
                raise ClientUsageError(
                    "A published algorithm brings its own container: leave out --image,"
                    " --tag, --checksum and --entrypoint."
                )
            did, service_id = split_asset(self.algorithm, self.service)
            order = self._order_of(self.algorithm)
            return PublishedAlgorithm(did, service_id, userdata, custom_data, order)
        if userdata is not None:
            raise ClientUsageError("--algorithm-userdata is for published algorithms.")
        if not self.image:
            raise ClientUsageError("An algorithm file needs --image: the container that runs it.")
        return RawAlgorithm.from_file(
            self.algorithm,
            image=self.image,
            tag=self.tag,
            checksum=self.checksum,
            entrypoint=self.entrypoint,
            custom_data=custom_data,
        )

    def _order_of(self, asset: str) -> str | None:
        """The order given for an asset, which may be named with its service or without."""
        orders = self._orders()
        did, service_id = split_asset(asset, self.service)
        return orders.get(f"{did}#{service_id}") or orders.get(did)

    def _orders(self) -> dict[str, str]:
        """All orders by asset. One for nothing of this job is a mistake that would cost."""
        orders = orders_by_asset(self.orders)
        assets = list(self.datasets)
        if self.algorithm.startswith("did:"):
            assets.append(self.algorithm)
        known = {name for asset in assets for name in self._names(asset)}
        for asset in orders:
            if asset not in known:
                raise ClientUsageError(
                    f"--order: {plain(asset, 200)} is neither a dataset nor the algorithm"
                    " of this job."
                )
        return orders

    def _names(self, asset: str) -> tuple[str, str]:
        did, service_id = split_asset(asset, self.service)
        return did, f"{did}#{service_id}"


def read_json(option: str, text: str) -> Any:
    """The JSON of an option's text, or of the file that ``@file`` names; None for nothing."""
    if not text:
        return None
    if text.startswith("@"):
        try:
            text = Path(text[1:]).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise ClientUsageError(f"{option}: the file {text[1:]} cannot be read.") from None
    try:
        return json.loads(text)
    except ValueError as error:
        raise ClientUsageError(f"{option}: this is not JSON: {error}.") from None
