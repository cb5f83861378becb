"""May a job that waited still run? What allowed it is judged again before its data moves.

A queue can be a day long. Meanwhile a wallet may have been put on a deny list, an
algorithm taken off a list of trusted ones, or network access withdrawn.
"""

from __future__ import annotations

from compute.errors import InputUnavailable
from compute.models import AlgorithmItem, DatasetItem, JobSpec
from provider.assets import trust
from provider.assets.catalogue import Catalogue
from provider.assets.credentials import why_denied
from provider.assets.ddo import Ddo, Service
from provider.errors import AssetsUnavailable, ProviderError


async def check(
    catalogue: Catalogue, owner: str, spec: JobSpec, *, empty_allows: bool = True
) -> None:
    """Raises InputUnavailable, final, with the code that a start would be refused with."""
    for stage in spec.stages:
        algorithm = stage.algorithm
        facts = await _facts(catalogue, owner, algorithm) if algorithm.did else None
        for item in stage.datasets:
            await _dataset(catalogue, owner, item, facts, stage.network, empty_allows)


async def _dataset(
    catalogue: Catalogue,
    owner: str,
    item: DatasetItem,
    facts: trust.AlgorithmFacts | None,
    network: bool,
    empty_allows: bool,
) -> None:
    ddo, service = await _service(catalogue, item)
    _refuse(item.did, why_denied(ddo, owner, service))
    rules = service.compute
    if service.is_compute:
        code = (
            trust.untrusted(rules, facts, empty_allows=empty_allows)
            if facts
            else trust.raw_refused(rules)
        )
        _refuse(item.did, code)
    if network and not rules.allow_network_access:
        _refuse(item.did, "network_not_allowed")


async def _facts(catalogue: Catalogue, owner: str, item: AlgorithmItem) -> trust.AlgorithmFacts:
    """The algorithm as it was pinned at the start; only its publisher is looked up anew."""
    ddo, service = await _service(catalogue, item)
    _refuse(item.did, why_denied(ddo, owner, service))
    return trust.AlgorithmFacts(
        did=item.did,
        service_id=item.service_id,
        owner=ddo.owner,
        author=ddo.author,
        files_checksum=trust.files_checksum(item.source.get("sha256") or []),
        container_checksum=trust.container_checksum(item.entrypoint, item.image.checksum),
    )


async def _service(catalogue: Catalogue, item: DatasetItem | AlgorithmItem) -> tuple[Ddo, Service]:
    try:
        ddo = await catalogue.resolve(item.did)
    except AssetsUnavailable as error:
        raise InputUnavailable(error.public, temporary=True) from None
    except ProviderError as error:
        raise InputUnavailable(error.public) from None
    service = ddo.service(item.service_id)
    if service is None:
        raise InputUnavailable(f"{item.did} has no such service any more.")
    return ddo, service


def _refuse(did: str, code: str | None) -> None:
    if code is not None:
        raise InputUnavailable(f"No longer allowed by {did}: {code}")
