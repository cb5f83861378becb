"""From the options of ``dry-run`` to its plan, and through it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compute import environments as environments_file
from compute.environments import Environment
from provider.assets.ddo import Container
from provider.auth.signatures import is_address, to_checksum
from provider.client.errors import ClientUsageError, NotFoundError, plain
from provider.client.models import RawAlgorithm, split_asset
from provider.client.wallet import Wallet, load_signer
from provider.dialects.ocean.requests import MAX_CODE_CHARACTERS
from provider.dryrun.asking import Provider, Terms
from provider.dryrun.inputs import DEFAULT_SERVICE, Given, given, require_did
from provider.dryrun.offered import NOBODY, Offer, without_network
from provider.dryrun.plan import Code, Plan, stand_in
from provider.dryrun.report import Report
from provider.dryrun.running import Screen, Wishes, dry_run
from provider.dryrun.shelf import Shelf, cache_folder

OWN_FILE = Path("environments.yaml")


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were typed."""

    algorithm: str
    inputs: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    environment: str = ""
    refresh: bool = False
    image: str = ""
    tag: str = ""
    checksum: str = ""
    entrypoint: str = ""
    service: str = ""
    custom_data: Any = field(default=None, repr=False)
    key: str = field(default="", repr=False)
    owner: str = ""
    results: Path | None = None
    overwrite: bool = False
    gpus: bool = True
    network: bool = True
    metadata_url: str = ""
    environments_file: Path | None = None
    engine: str | None = None
    cache: Path | None = None


async def try_out(asked: Asked, screen: Screen) -> Report:
    """Raises ComputeClientError, EnvironmentsInvalid, UnknownEnvironment."""
    folder = cache_folder(asked.cache)
    provider, wanted = _provider(asked, Shelf(folder))
    if provider is None:
        offer, told = _own(asked, wanted)
    else:
        offer, told = await provider.environment(wanted)
    if not asked.network:
        offer = without_network(offer)
    screen.said(f"Environment {plain(offer.environment.id, 80)}, {told}.")
    plan = await _plan(asked, provider, offer)
    wishes = Wishes(
        rooms=folder / "dry-run",
        engine=asked.engine,
        gpus=asked.gpus,
        results=asked.results,
        overwrite=asked.overwrite,
    )
    return await dry_run(plan, wishes, screen, prices=offer.prices, told=told)


def _provider(asked: Asked, shelf: Shelf) -> tuple[Provider | None, str]:
    """Whom to ask, and for which environment."""
    url, _, wanted = asked.environment.partition("#")
    if "://" not in url:
        return None, asked.environment
    provider = Provider(
        url, shelf, key=asked.key, metadata_url=asked.metadata_url, refresh=asked.refresh
    )
    return provider, wanted


def _own(asked: Asked, wanted: str) -> tuple[Offer, str]:
    """An environment of a file, else one of usual values."""
    path = asked.environments_file or (OWN_FILE if OWN_FILE.is_file() else None)
    if path is None:
        if wanted:
            raise ClientUsageError(
                f"--environment {plain(wanted, 80)}: there is no environments.yaml here; name a"
                " provider's as URL#ID."
            )
        return Offer(Environment(id="dry-run")), "of usual values: no other was named"
    found = environments_file.load(path)
    if not wanted and len(found) > 1:
        raise ClientUsageError(f"Choose one with --environment: {', '.join(found)}.")
    if wanted and wanted not in found:
        raise ClientUsageError(
            f"{path} has no environment {plain(wanted, 80)}; it has {', '.join(found)}."
        )
    return Offer(found[wanted or next(iter(found))]), f"of {path}"


async def _plan(asked: Asked, provider: Provider | None, offer: Offer) -> Plan:
    datasets = [given(text, number) for number, text in enumerate(asked.inputs, 1)]
    datasets += [await _sample(name, asked, provider) for name in asked.samples]
    if not datasets:
        raise ClientUsageError("Give at least one dataset: --input PATH or --sample DID.")
    names = [(each.did, each.service_id) for each in datasets]
    if len(set(names)) != len(names):
        raise ClientUsageError("A dataset is given twice; give each once.")
    terms: dict[tuple[str, str], Terms] = {}
    documents: dict[str, dict[str, Any]] = {}
    notes = list(offer.notes)
    for each in datasets:
        documents[each.did] = stand_in(each.did, each.service_id, "dataset")
        if not (each.known and provider):
            continue
        found = await provider.terms(each.did, each.service_id)
        if found is None:
            notes.append(
                f"The rules of {plain(each.did, 120)} are not known: the provider does not tell"
                " them. They may be stricter than the environment's."
            )
        else:
            terms[each.did, each.service_id] = found
        documents[each.did] = await provider.document(each.did) or documents[each.did]
    code, document = await _code(asked, provider)
    if code.did:
        documents[code.did] = document or stand_in(code.did, code.service_id, "algorithm")
    if code.text is not None:
        notes += [
            f"{plain(did, 120)} lets no unpublished algorithm near: a start with this one would be"
            " refused. Publish it first."
            for (did, _), each in terms.items()
            if not each.allow_raw
        ]
    return Plan(
        owner=_owner(asked),
        environment=offer.environment,
        datasets=tuple(datasets),
        code=code,
        terms=terms,
        documents=documents,
        notes=tuple(notes),
    )


async def _sample(name: str, asked: Asked, provider: Provider | None) -> Given:
    did, service_id = split_asset(name, asked.service or DEFAULT_SERVICE)
    require_did(did, "--sample")
    if provider is None:
        raise ClientUsageError("--sample needs --environment URL#ID: the provider has the samples.")
    paths = await provider.sample(did, service_id)
    return Given(did, service_id, tuple(paths), known=True)


async def _code(asked: Asked, provider: Provider | None) -> tuple[Code, dict[str, Any] | None]:
    """The algorithm, and its document if it has one."""
    custom_data = asked.custom_data
    if not asked.algorithm.startswith("did:"):
        return _raw(asked, custom_data), None
    name, _, path = asked.algorithm.partition("=")
    did, service_id = split_asset(name, asked.service or "access")
    require_did(did, "ALGORITHM")
    document = await provider.document(did) if provider else None
    container = _container(asked, document, did)
    if path:
        file = Path(path).expanduser()
        if not file.is_file():
            raise ClientUsageError(f"There is no file {plain(path, 300)}.")
        return Code(
            container, did, service_id, file=file.resolve(), custom_data=custom_data
        ), document
    if provider is None:
        raise ClientUsageError(
            "A published algorithm needs --environment URL#ID, the provider that has it, or its"
            f" file: {plain(name, 200)}=FILE."
        )
    file = await provider.code(did, service_id)
    return Code(container, did, service_id, file=file, custom_data=custom_data), document


def _raw(asked: Asked, custom_data: Any) -> Code:
    if not asked.image:
        raise ClientUsageError("An algorithm file needs --image: the container that runs it.")
    raw = RawAlgorithm.from_file(
        asked.algorithm,
        image=asked.image,
        tag=asked.tag,
        checksum=asked.checksum,
        entrypoint=asked.entrypoint,
    )
    if len(raw.code) > MAX_CODE_CHARACTERS:
        raise ClientUsageError(
            f"The algorithm has {len(raw.code)} characters; a start takes {MAX_CODE_CHARACTERS}."
        )
    container = Container(
        image=raw.image, tag=raw.tag, entrypoint=raw.entrypoint, checksum=raw.checksum
    )
    return Code(container, text=raw.code, custom_data=custom_data)


def _container(asked: Asked, document: dict[str, Any] | None, did: str) -> Container:
    """That of the algorithm's document, unless another one is wished."""
    if asked.image:
        return Container(
            image=asked.image,
            tag=asked.tag,
            entrypoint=asked.entrypoint,
            checksum=asked.checksum,
        )
    metadata = (document or {}).get("metadata")
    algorithm = metadata.get("algorithm") if isinstance(metadata, dict) else None
    if not isinstance(algorithm, dict):
        raise NotFoundError(
            f"The document of {plain(did, 120)}, which names its image, is not to be had: name"
            " the image with --image, --tag, --checksum and --entrypoint."
        )
    return Container.model_validate(algorithm.get("container") or {})


def _owner(asked: Asked) -> str:
    """The wallet, checksummed as a provider keeps it."""
    if asked.owner:
        if not is_address(asked.owner):
            raise ClientUsageError("--owner: an address is 0x and 40 hexadecimal digits.")
        return to_checksum(asked.owner)
    return Wallet(load_signer(asked.key)).address if asked.key else NOBODY
