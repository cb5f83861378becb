"""May these assets be computed with, here, by this wallet? And what exactly runs then.

The one place where documents, credentials, trust lists, consumer parameters and the
environment's image list meet. Nothing is fetched except the files of an algorithm whose
checksum a dataset demands. The answer is a job's specification, or a refusal in the codes
that clients of the API know (resource and code).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compute import layout, references
from compute.egress.rules import EgressRules
from compute.environments import Environment
from compute.errors import InputUnavailable
from compute.models import AlgorithmItem, DatasetItem, Image, JobSpec, Stage
from provider.assets import leaving, parameters, trust
from provider.assets.catalogue import Catalogue
from provider.assets.credentials import why_denied
from provider.assets.ddo import ComputeRules, Container, Ddo, Service
from provider.assets.encryption import open_files, seal_url_file
from provider.assets.files import TooManyFiles
from provider.assets.remote import is_own
from provider.assets.supplier import AssetSupplier
from provider.errors import AssetMalformed, FileObjectInvalid, KeyedRefusal, UnknownAsset
from provider.keys import ProviderKey

CHECKSUM_S = 60.0
"""How long the files of an algorithm may take to be read for their checksum."""

MAX_ENTRYPOINT = 4096
"""Characters. Splitting a command line takes time in the square of its length."""

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{1,64}")


@dataclass(frozen=True, slots=True)
class DatasetChoice:
    """A dataset as a consumer asks for it. ``order`` is the transaction that paid for it."""

    did: str
    service_id: str
    order: str = ""
    userdata: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RawAlgorithm:
    """An unpublished algorithm: its code as text, or a file object to fetch it with."""

    container: Container
    rawcode: str = field(default="", repr=False)
    file: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AlgorithmChoice:
    """A published algorithm (``did``, ``service_id``) or a raw one."""

    did: str = ""
    service_id: str = ""
    raw: RawAlgorithm | None = None
    order: str = ""
    userdata: Any = field(default=None, repr=False)
    custom_data: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Asset:
    """A resolved choice: where refusals of it are reported, its document, its service.

    ``order`` is the transaction that paid for it, ``remote`` is true when another provider
    has its files.
    """

    resource: str
    ddo: Ddo
    service: Service
    order: str = ""
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """What may run, and the published assets it was judged by: the datasets in order, then
    the algorithm, None for a raw one."""

    spec: JobSpec
    datasets: tuple[Asset, ...]
    algorithm: Asset | None

    @property
    def assets(self) -> tuple[Asset, ...]:
        return self.datasets if self.algorithm is None else (*self.datasets, self.algorithm)


class Admission:
    """Judges the assets of a job.

    ``empty_trust_allows`` is what a dataset's two empty lists of trust mean. ``own_urls``
    are where clients reach this provider, as services name it.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        supplier: AssetSupplier,
        key: ProviderKey,
        *,
        empty_trust_allows: bool = True,
        own_urls: Sequence[str] = (),
    ) -> None:
        self._catalogue = catalogue
        self._supplier = supplier
        self._key = key
        self._empty_trust_allows = empty_trust_allows
        self._own_urls = own_urls

    async def admit(
        self,
        consumer: str | None,
        environment: Environment,
        datasets: Sequence[DatasetChoice],
        algorithm: AlgorithmChoice,
    ) -> Admitted:
        """What is to run. ``consumer`` is the wallet whose credentials count, None to leave
        credentials unjudged (a quote for nobody in particular). Orders are not looked at.

        Raises KeyedRefusal, BadParameter, AssetMalformed.
        """
        container = algorithm.raw.container if algorithm.raw else None
        away = self._may_fetch_elsewhere(environment)
        published = None if algorithm.raw else await self._algorithm(consumer, algorithm, away)
        if published:
            container = _container_of(published.ddo)
        image = image_of(container or Container(), environment)
        inputs = [
            await self._dataset(consumer, index, choice, away)
            for index, choice in enumerate(datasets)
        ]
        digests = await self._judge(inputs, published)
        stage = Stage(
            datasets=tuple(
                _dataset_item(
                    asset,
                    choice,
                    leaving.rules_of(asset.ddo, asset.service, environment, asset.resource),
                )
                for asset, choice in zip(inputs, datasets, strict=True)
            ),
            algorithm=self._algorithm_item(algorithm, published, container, image, digests),
            network=environment.network != "none"
            and all(asset.service.compute.allow_network_access for asset in inputs),
            max_duration_s=environment.maxJobDuration,
        )
        spec = JobSpec(
            stages=(stage,),
            documents={
                asset.ddo.id: asset.ddo.document
                for asset in (*inputs, published)
                if asset is not None
            },
            agreement_id=datasets[0].order or algorithm.order,
        )
        return Admitted(spec, tuple(inputs), published)

    def _may_fetch_elsewhere(self, environment: Environment) -> bool:
        """Another provider gives files to the wallet that they were ordered for. That is the
        environment's, and only for this provider's own can it sign."""
        address = environment.consumerAddress or self._key.address
        return address.lower() == self._key.address.lower()

    async def _algorithm(self, consumer: str | None, choice: AlgorithmChoice, away: bool) -> Asset:
        ddo = await self._resolve(choice.did, "algorithm", "did_not_found")
        if not ddo.is_algorithm:
            raise KeyedRefusal("algorithm", "not_algo")
        service = _service_of(ddo, choice.service_id, "algorithm")
        if not (service.is_access or service.is_compute):
            raise KeyedRefusal("algorithm.serviceId", "service_not_access_compute")
        if consumer and (denied := why_denied(ddo, consumer, service)):
            raise KeyedRefusal("algorithm.credentials", denied)
        elsewhere = "compute_services_not_in_same_provider"
        code = elsewhere if service.is_compute else "file_unavailable"
        remote = await self._is_elsewhere(ddo, service, away, "algorithm", code)
        return Asset("algorithm", ddo, service, choice.order, remote)

    async def _dataset(
        self, consumer: str | None, index: int, choice: DatasetChoice, away: bool
    ) -> Asset:
        resource = f"datasets[{index}]" if index else "dataset"
        if not choice.did:
            raise KeyedRefusal(f"{resource}.documentId", "missing")
        ddo = await self._resolve(choice.did, f"{resource}.documentId", "did_not_found")
        service = _service_of(ddo, choice.service_id, resource)
        if not (service.is_access or service.is_compute):
            raise KeyedRefusal(f"{resource}.serviceId", "service_not_access_compute")
        if index == 0 and not service.is_compute:
            raise KeyedRefusal(f"{resource}.serviceId", "main_service_compute")
        if consumer and (denied := why_denied(ddo, consumer, service)):
            raise KeyedRefusal(resource, denied)
        code = "compute_services_not_in_same_provider"
        remote = await self._is_elsewhere(ddo, service, away, f"{resource}.serviceId", code)
        return Asset(resource, ddo, service, choice.order, remote)

    async def _resolve(self, did: str, resource: str, code: str) -> Ddo:
        try:
            return await self._catalogue.resolve(did)
        except UnknownAsset:
            raise KeyedRefusal(resource, code) from None

    async def _is_elsewhere(
        self, ddo: Ddo, service: Service, away: bool, resource: str, code: str
    ) -> bool:
        """True when another provider has the files. Raises KeyedRefusal if nobody can be
        asked for them, TooManyFiles."""
        try:
            await asyncio.to_thread(open_files, ddo, service, self._key)
        except TooManyFiles:
            raise
        except (AssetMalformed, FileObjectInvalid):
            if away and not is_own(service.service_endpoint, self._own_urls):
                return True
            raise KeyedRefusal(resource, code) from None
        return False

    async def _judge(self, inputs: Sequence[Asset], algorithm: Asset | None) -> list[str] | None:
        """Ask each compute dataset whether it trusts the algorithm.

        Returns the digests that the algorithm's files had if any of them was asked for, so
        that staging can insist on the very same bytes.
        """
        guarded = [asset for asset in inputs if asset.service.is_compute]
        if algorithm is None:
            for asset in guarded:
                _refuse(asset.resource, trust.raw_refused(asset.service.compute))
            return None
        rules = [asset.service.compute for asset in guarded]
        digests = await self._digests(algorithm) if _any_checksum(rules) else None
        facts = _facts(algorithm, digests or [])
        for asset in guarded:
            rule = asset.service.compute
            code = trust.untrusted(rule, facts, empty_allows=self._empty_trust_allows)
            _refuse(asset.resource, code)
        return digests

    async def _digests(self, algorithm: Asset) -> list[str]:
        try:
            async with asyncio.timeout(CHECKSUM_S):
                return await self._supplier.file_checksums(
                    algorithm.ddo, algorithm.service, remote=algorithm.remote
                )
        except (InputUnavailable, TimeoutError):
            raise KeyedRefusal("algorithm", "file_unavailable") from None

    def _algorithm_item(
        self,
        choice: AlgorithmChoice,
        published: Asset | None,
        container: Container | None,
        image: Image,
        digests: list[str] | None,
    ) -> AlgorithmItem:
        metadata = published.ddo.metadata if published else None
        declared = metadata.algorithm.consumer_parameters if metadata and metadata.algorithm else []
        service_declared = published.service.consumer_parameters if published else []
        source: dict[str, Any] = self._raw_source(choice.raw) if choice.raw else {}
        if published:
            source |= _elsewhere(published)
        userdata = parameters.userdata(
            service_declared, choice.userdata, field="algorithm.userdata"
        )
        if userdata:
            source["userdata"] = userdata
        if digests is not None:
            source["sha256"] = digests
        return AlgorithmItem(
            did=published.ddo.id if published else "",
            service_id=published.service.id if published else "",
            image=image,
            entrypoint=container.entrypoint if container else "",
            custom_data=parameters.custom_data(
                declared, choice.custom_data, field="algorithm.algocustomdata"
            ),
            source=source,
        )

    def _raw_source(self, raw: RawAlgorithm) -> dict[str, Any]:
        if raw.file is not None:
            return {"sealed": seal_url_file(raw.file, self._key)}
        return {"rawcode": raw.rawcode}


def container_fault(container: Container) -> str | None:
    """The code for a container section that names no runnable image, None for a good one."""
    if not (container.entrypoint and container.image and container.checksum):
        return "missing_entrypoint_image_checksum"
    if not container.checksum.startswith("sha256:"):
        return "checksum_prefix"
    return None


def image_of(container: Container, environment: Environment) -> Image:
    """The image to run. Raises KeyedRefusal for ``algorithm.container``."""
    fault = container_fault(container) or _syntax_fault(container)
    if fault:
        raise KeyedRefusal("algorithm.container", fault)
    image = Image(image=container.image, tag=container.tag, checksum=container.checksum)
    if not environment.images.allows(image):
        raise KeyedRefusal("algorithm.container", "image_not_allowed")
    return image


def _syntax_fault(container: Container) -> str | None:
    if not references.is_name(container.image):
        return "image_malformed"
    if container.tag and not _TAG.fullmatch(container.tag):
        return "tag_malformed"
    if not _DIGEST.fullmatch(container.checksum):
        return "checksum_malformed"
    if len(container.entrypoint) > MAX_ENTRYPOINT:
        return "entrypoint_malformed"
    try:
        layout.command(container.entrypoint)
    except ValueError:
        return "entrypoint_malformed"
    return None


def _container_of(ddo: Ddo) -> Container:
    algorithm = ddo.metadata.algorithm if ddo.metadata else None
    return algorithm.container if algorithm else Container()


def _service_of(ddo: Ddo, service_id: str, resource: str) -> Service:
    if not service_id:
        raise KeyedRefusal(f"{resource}.serviceId", "missing")
    service = ddo.service(service_id)
    if service is None:
        raise KeyedRefusal(f"{resource}.serviceId", "not_found")
    return service


def _any_checksum(rules: Sequence[ComputeRules]) -> bool:
    return any(trust.needs_checksums(each) for each in rules)


def _facts(algorithm: Asset, digests: Sequence[str]) -> trust.AlgorithmFacts:
    container = _container_of(algorithm.ddo)
    return trust.AlgorithmFacts(
        did=algorithm.ddo.id,
        service_id=algorithm.service.id,
        owner=algorithm.ddo.owner,
        author=algorithm.ddo.author,
        files_checksum=trust.files_checksum(digests),
        container_checksum=trust.container_checksum(container.entrypoint, container.checksum),
    )


def _refuse(resource: str, code: str | None) -> None:
    if code is not None:
        raise KeyedRefusal(resource, code)


def _elsewhere(asset: Asset) -> dict[str, Any]:
    """Where staging is to ask for the files, empty when they are here."""
    if not asset.remote:
        return {}
    return {"remote": {"endpoint": asset.service.service_endpoint, "order": asset.order}}


def _dataset_item(asset: Asset, choice: DatasetChoice, egress: EgressRules | None) -> DatasetItem:
    userdata = parameters.userdata(
        asset.service.consumer_parameters, choice.userdata, field=f"{asset.resource}.userdata"
    )
    source = _elsewhere(asset)
    if userdata:
        source["userdata"] = userdata
    return DatasetItem(did=asset.ddo.id, service_id=asset.service.id, source=source, egress=egress)
