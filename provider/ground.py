"""What every role of the service stands on: chains, database, catalogue, inputs, operator.

``serve`` answers requests above it, ``operate`` only keeps it running. All is opened on one
exit stack and ends in reverse order; containers are left running.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from compute.engines.base import Engine
from compute.engines.docker import DockerEngine
from compute.environments import Environments
from compute.errors import EngineRefused
from compute.lease import Terms
from compute.operator import Operator, operating
from compute.space import Space, WatchedSpace, best_space
from compute.store.base import Database
from compute.store.database import open_database
from compute.store.jobs import JobStore
from provider import observing
from provider.assets.catalogue import Catalogue, FolderCatalogue
from provider.assets.chain_catalogue import IndexCatalogue
from provider.assets.fetch import Fetcher, FetchLimits
from provider.assets.index import AssetIndex
from provider.assets.joined_catalogue import JoinedCatalogue
from provider.assets.metadata_cache import CacheCatalogue, MetadataCache
from provider.assets.origins.contract import ChainContracts
from provider.assets.origins.http import Gateways
from provider.assets.remote import Remotes
from provider.assets.supplier import AssetSupplier
from provider.auditing.facts import configuration
from provider.auditing.trail import Trail, audited
from provider.chain.chains import Chains
from provider.chain.opened import open_chains
from provider.elsewhere import OtherProviders
from provider.errors import SettingsInvalid
from provider.metrics import Metrics
from provider.migrations import VERSIONS
from provider.observing import Observer
from provider.settings import Settings
from provider.sharing.leases import Leases
from provider.sharing.operator_id import operator_id

log = logging.getLogger(__name__)

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Ground:
    """The parts, opened. ``others`` are the providers that remote services belong to."""

    chains: Chains
    database: Database
    leases: Leases
    trail: Trail
    index: AssetIndex
    others: OtherProviders
    catalogue: Catalogue
    supplier: AssetSupplier
    operator: Operator
    observer: Observer


async def open_ground(
    settings: Settings,
    environments: Environments,
    stack: AsyncExitStack,
    *,
    at_work: bool,
    clock: Clock,
    metrics: Metrics,
    draining: Callable[[], bool],
    engine: Engine | None = None,
    space: Space | None = None,
    terms: Terms | None = None,
) -> Ground:
    """Open everything; ``at_work`` says whether this process operates jobs itself, and
    ``draining`` whether it was told to end.

    ``engine`` and ``space`` replace the configured ones; ``terms`` are those of the lease on
    jobs. Raises ComputeError, SettingsInvalid.
    """
    key, data_dir = settings.key, settings.data_dir.absolute()
    chains = await open_chains(settings.chains, stack)
    database = await open_database(settings.database_url, migrations=[VERSIONS])
    stack.push_async_callback(database.close)
    database.measure(metrics)
    trail = Trail(database, key, now=clock, addresses=settings.audit_addresses)
    await stack.enter_async_context(audited(trail, configuration(settings, operates=at_work)))
    fetcher = await stack.enter_async_context(_fetcher(settings))
    leases = Leases(database, now=clock)
    remotes = Remotes(fetcher, key, leases=leases)
    others = OtherProviders(remotes)
    index = AssetIndex(chains, database, key, ask=others.open_document, leases=leases, now=clock)
    await stack.enter_async_context(index)
    catalogue = await _catalogue(settings, chains, index, stack)
    supplier = AssetSupplier(
        catalogue,
        key,
        fetcher,
        data_folder=settings.files_dir,
        gateways=Gateways(settings.ipfs_gateway, settings.arweave_gateway),
        contracts=ChainContracts(chains),
        remotes=remotes,
        empty_trust_allows=settings.empty_trust_lists == "all",
    )
    if space is None:
        space = await best_space(data_dir, settings.output_quota) if at_work else WatchedSpace()
    operator = await stack.enter_async_context(
        operating(
            environments=environments,
            engine=engine or _docker(settings, data_dir),
            store=JobStore(database, witness=trail.witness),
            supplier=supplier,
            space=space,
            data_dir=data_dir,
            secrets_dir=_secrets_dir(settings, data_dir),
            cache_bytes=settings.cache_bytes,
            clock=clock,
            at_work=at_work,
            recorder=metrics,
            terms=terms,
        )
    )
    around = observing.Surroundings(
        database=database,
        data_dir=data_dir,
        operator=operator if at_work else None,
        chains=chains,
        index=index,
        draining=draining,
        now=clock,
    )
    observer = await stack.enter_async_context(observing.observed(settings, metrics, around))
    return Ground(
        chains, database, leases, trail, index, others, catalogue, supplier, operator, observer
    )


def note_prices(environments: Environments, chain_ids: Sequence[int]) -> None:
    """Say so where a price can never be asked: it looks as if the chain was forgotten."""
    for environment in environments.values():
        for chain_id in environment.prices.keys() - set(chain_ids):
            log.warning("price_unused environment=%s chain=%s", environment.id, chain_id)


async def _catalogue(
    settings: Settings, chains: Chains, index: AssetIndex, stack: AsyncExitStack
) -> Catalogue:
    """The operator's folder; beside it, where chains are followed, what is published there."""
    folder = FolderCatalogue(settings.assets_dir)
    folder.check()
    if not chains:
        return folder
    published: list[Catalogue] = [IndexCatalogue(index)]
    if settings.aquarius_url:
        cache = CacheCatalogue(MetadataCache(settings.aquarius_url), chains, settings.key)
        published.append(await stack.enter_async_context(cache))
    return JoinedCatalogue(folder, published)


def _fetcher(settings: Settings) -> Fetcher:
    return Fetcher(
        allowed_networks=settings.allowed_private_networks,
        limits=FetchLimits(max_bytes=settings.max_input_bytes),
    )


def _secrets_dir(settings: Settings, data_dir: Path) -> Path:
    """A folder of this service's own in memory."""
    parent = settings.secrets_dir or Path("/dev/shm")  # noqa: S108 (the folder is made private)
    return parent.absolute() / f"ocean-compute-{operator_id(data_dir)}"


def _docker(settings: Settings, data_dir: Path) -> Engine:
    try:
        return DockerEngine(base_url=settings.docker_host, operator_id=operator_id(data_dir))
    except EngineRefused as error:
        raise SettingsInvalid(
            f"DOCKER_HOST: {error.public}; write unix:///path/to.sock or tcp://host:port"
        ) from None
