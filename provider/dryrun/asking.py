"""What a dry run wants to know of a provider: asked once, then kept (see ``shelf``).

Nothing is signed but the fetching of a published algorithm's code, and nothing of the person's
files or algorithm is sent anywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from compute.egress.rules import EgressRules
from provider.assets.ddo import Ddo
from provider.client import ComputeClient
from provider.client.downloads import safe_path
from provider.client.errors import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    ComputeClientError,
    NotFoundError,
    ProviderUnreachableError,
    plain,
)
from provider.client.patience import Patience
from provider.client.wallet import Key
from provider.dryrun.offered import Offer, offer, rules
from provider.dryrun.shelf import Kept, Shelf, age
from provider.errors import AssetMalformed
from provider.samples import MAX_SAMPLE_BYTES, MAX_SAMPLE_FILES

SAMPLE = "computeSample"
NOTHING_FOR_S = 3600.0
"""How long it is taken for granted that there is still nothing."""

_IDS_TOLD = 20
Listed = list[tuple[str | None, Mapping[str, Any]]]

ANY_KEY = "1".zfill(64)
"""For questions that nobody signs."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What binds a job on a dataset. ``sample`` are the names of the files of its sample."""

    allow_raw: bool
    allow_network: bool
    egress: EgressRules | None
    sample: tuple[str, ...] = ()


class Provider:
    """One provider, by its URL. ``refresh`` asks it again what is kept. Methods raise
    ComputeClientError."""

    def __init__(
        self,
        url: str,
        shelf: Shelf,
        *,
        key: Key = "",
        metadata_url: str = "",
        refresh: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.url = url.rstrip("/")
        self._shelf = shelf
        self._key = key
        self._metadata_url = metadata_url
        self._refresh = refresh
        self._now = now

    async def environment(self, wanted: str) -> tuple[Offer, str]:
        """An environment by its id, the only one for an empty id, and who told it when."""
        kept, listed = (None, []) if self._refresh else self._known(wanted)
        if kept is None or not listed:
            kept = await self._ask_environments(kept)
            listed = _listed(kept.document, wanted)
        if not listed:
            raise ClientUsageError(_unknown(kept.document, wanted))
        told = f"told by {self.url} {age(self._now() - kept.at)} (--refresh asks again)"
        return offer(listed), told

    def _known(self, wanted: str) -> tuple[Kept | None, Listed]:
        """What is kept, and what there is in it; what is kept and not understood is not."""
        kept = self._find("environments", self.url)
        try:
            return kept, _listed(kept.document, wanted) if kept else []
        except (KeyError, TypeError, ValueError, AttributeError):
            return None, []

    async def _ask_environments(self, kept: Kept | None) -> Kept:
        try:
            async with self._client() as client:
                root = await client.provider()
                found = await client.environments()
        except ProviderUnreachableError as error:
            if kept is not None:
                return kept
            raise ProviderUnreachableError(
                f"{error} Nothing that it said before is kept here; without --environment a dry"
                " run needs no provider.",
                maybe_received=error.maybe_received,
            ) from None
        document = {
            "provider": str(root.get("providerAddress") or ""),
            "version": str(root.get("version") or ""),
            "environments": [[one.chain_id, one.raw] for one in found],
        }
        return self._shelf.keep("environments", self.url, document)

    def _find(self, kind: str, name: str) -> Kept | None:
        return self._shelf.find(kind, name)

    async def terms(self, did: str, service_id: str) -> Terms | None:
        """What binds jobs on a dataset; None where the provider does not tell or cannot be
        asked."""
        document = await self._asked("terms", f"{did}#{service_id}", self._ask_terms)
        return None if document is None else _terms(document)

    async def _ask_terms(self, client: ComputeClient, name: str) -> Any:
        if not await client.offers(SAMPLE):
            return None
        return await client.sample(name)

    async def document(self, did: str) -> dict[str, Any] | None:
        """An asset's document as algorithms see it; None where there is none to be had."""
        raw = await self._asked("documents", did, lambda client, did: client.asset(did))
        if not isinstance(raw, Mapping):
            return None
        with suppress(AssetMalformed):
            return Ddo.parse(raw).document
        return None

    async def _asked(self, kind: str, name: str, ask: Callable[[ComputeClient, str], Any]) -> Any:
        """The answer, kept or new. None, which is kept as well, where there is none."""
        full = f"{self.url} {name}"
        kept = None if self._refresh else self._find(kind, full)
        if kept is None or (kept.document is None and self._now() - kept.at > NOTHING_FOR_S):
            try:
                async with self._client() as client:
                    answer = await ask(client, name)
            except ProviderUnreachableError:
                return None
            except ComputeClientError:
                answer = None
            kept = self._shelf.keep(kind, full, answer)
        return kept.document

    async def sample(self, did: str, service_id: str) -> list[Path]:
        """The files of a dataset's sample, here. Raises NotFoundError where there is none."""
        name = f"{did}#{service_id}"
        terms = await self.terms(did, service_id)
        if terms is None:
            raise NotFoundError(
                f"{self.url} tells no sample of {plain(name, 200)}: it may have no such dataset,"
                " or tell of it only when it has a sample, or be out of reach. What it said is"
                " kept for an hour; --refresh asks again."
            )
        if not terms.sample:
            raise NotFoundError(f"The owner of {plain(name, 200)} has published no sample.")
        folder = self._shelf.folder("samples", f"{self.url} {name}")
        paths = [folder / str(index) / safe_path(each) for index, each in enumerate(terms.sample)]
        missing = [
            (index, path)
            for index, path in enumerate(paths)
            if self._refresh or not await asyncio.to_thread(path.is_file)
        ]
        if missing:
            async with self._client() as client:
                for index, path in missing:
                    await client.download_sample(
                        name, path, index=index, most_bytes=MAX_SAMPLE_BYTES
                    )
        return paths

    async def code(self, did: str, service_id: str) -> Path:
        """The code of a published algorithm, if this wallet may download it."""
        name = f"{did}#{service_id}"
        folder = self._shelf.folder("algorithms", f"{self.url} {name}")
        path = folder / "algorithm"
        if self._refresh or not await asyncio.to_thread(path.is_file):
            try:
                async with self._client() as client:
                    await client.download_asset(name, path, overwrite=True)
            except ProviderUnreachableError:
                raise
            except ComputeClientError as error:
                raise ClientUsageError(
                    f"The code of {plain(name, 200)} is not to be had: {error} If you have it,"
                    f" give it as {plain(name, 200)}=FILE."
                ) from None
        return path

    def _client(self) -> ComputeClient:
        return ComputeClient(
            self.url,
            self._key or ANY_KEY,
            metadata_url=self._metadata_url,
            patience=Patience(attempts=2),
        )


def _listed(document: Any, wanted: str) -> Listed:
    """The objects that describe the environment, one a chain. Raises KeyError, TypeError,
    ValueError, AttributeError for a document that was not made here."""
    found = [
        (None if chain is None else str(chain), raw) for chain, raw in document["environments"]
    ]
    ids = {str(raw.get("id")) for _, raw in found}
    chosen = wanted or (next(iter(ids)) if len(ids) == 1 else "")
    return [(chain, raw) for chain, raw in found if str(raw.get("id")) == chosen]


def _unknown(document: Any, wanted: str) -> str:
    ids = sorted({str(raw.get("id")) for _, raw in document["environments"]})
    known = ", ".join(plain(one, 80) for one in ids[:_IDS_TOLD]) or "none"
    if len(ids) > _IDS_TOLD:
        known += f" and {len(ids) - _IDS_TOLD} more"
    if not wanted:
        return f"Choose an environment: URL#ID with one of {known}."
    return f"The provider has no environment {plain(wanted, 80)}; it has {known}."


def _terms(document: Any) -> Terms:
    """Raises AnswerNotUnderstoodError."""
    try:
        files, egress = document["files"], document.get("egress")
        if len(files) > MAX_SAMPLE_FILES:
            raise TypeError("more files than a sample may have")
        return Terms(
            allow_raw=document.get("allowRawAlgorithm") is True,
            allow_network=document.get("allowNetworkAccess") is True,
            egress=None if egress is None else EgressRules.model_validate(rules(egress)),
            sample=tuple(str(each.get("name") or "file") for each in files),
        )
    except (KeyError, TypeError, AttributeError, ValidationError):
        raise AnswerNotUnderstoodError(
            "What the provider says of a dataset is not understood."
        ) from None
