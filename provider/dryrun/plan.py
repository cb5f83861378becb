"""What a dry run is to run: from what a person says to the job that a provider would make of it.

The specification is built as an admitted one is, by the same rules where these can be judged
here: the image, its checksum and the environment's patterns. What only the provider can judge
(wallets, orders, lists of trust) is not tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compute.environments import Environment
from compute.models import AlgorithmItem, DatasetItem, JobSpec, Stage
from provider.admission import image_of
from provider.assets import parameters
from provider.assets.ddo import Container
from provider.client.errors import CODES, ClientUsageError
from provider.dryrun.asking import Terms
from provider.dryrun.inputs import Given
from provider.errors import KeyedRefusal

ANY_NETWORK = frozenset({"none", "bridge"})
"""What every engine has."""


@dataclass(frozen=True, slots=True)
class Code:
    """The algorithm. ``text`` is that of one that is no asset, else None; ``file`` is the code
    of a published one, None where it lives in its image."""

    container: Container
    did: str = ""
    service_id: str = ""
    text: str | None = field(default=None, repr=False)
    file: Path | None = None
    custom_data: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a dry run needs. ``documents`` are those that the algorithm is shown, by DID;
    ``terms`` those of datasets that a provider told. ``notes`` are for the person."""

    owner: str
    environment: Environment
    datasets: tuple[Given, ...]
    code: Code
    terms: dict[tuple[str, str], Terms] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def unknown(self) -> tuple[str, ...]:
        """Datasets whose rules are not known: nobody was asked, or it was not told."""
        return tuple(
            each.did for each in self.datasets if (each.did, each.service_id) not in self.terms
        )

    def fitted(self, environment: Environment, notes: Sequence[str]) -> Plan:
        return replace(self, environment=environment, notes=(*self.notes, *notes))


def specification(plan: Plan, checksum: str = "") -> JobSpec:
    """The job. ``checksum`` is the image's where the person gave none. Raises ClientUsageError
    for what a provider would refuse."""
    code, environment = plan.code, plan.environment
    container = code.container
    if not container.checksum:
        container = container.model_copy(update={"checksum": checksum})
    try:
        image = image_of(container, environment)
    except KeyedRefusal as refusal:
        raise ClientUsageError(_explained(refusal, container, environment)) from None
    stage = Stage(
        datasets=tuple(_item(each, plan) for each in plan.datasets),
        algorithm=AlgorithmItem(
            did=code.did,
            service_id=code.service_id,
            image=image,
            entrypoint=container.entrypoint,
            custom_data=parameters.custom_data([], code.custom_data),
            source={} if code.text is None else {"rawcode": code.text},
        ),
        network=has_network(plan),
        max_duration_s=environment.maxJobDuration,
    )
    return JobSpec(stages=(stage,), documents=plan.documents)


def has_network(plan: Plan) -> bool:
    """As at a provider: the environment has one, and all datasets allow it. Where nobody was
    asked about a dataset, it does not."""
    terms = [plan.terms.get((each.did, each.service_id)) for each in plan.datasets]
    return plan.environment.network != "none" and all(
        each is not None and each.allow_network for each in terms
    )


def _item(dataset: Given, plan: Plan) -> DatasetItem:
    terms = plan.terms.get((dataset.did, dataset.service_id))
    return DatasetItem(
        did=dataset.did,
        service_id=dataset.service_id,
        egress=terms.egress if terms else None,
    )


def _explained(refusal: KeyedRefusal, container: Container, environment: Environment) -> str:
    if refusal.code == "image_not_allowed":
        allowed = ", ".join(environment.images.allow) or "none"
        return (
            f"The environment {environment.id} does not allow the image {container.image}: a start"
            f" would be refused. It allows {allowed}."
        )
    return f"{refusal.resource}: {CODES.get(refusal.code, refusal.code)}."


def stand_in(did: str, service_id: str, kind: str) -> dict[str, Any]:
    """A document for an asset that has none here: algorithms of the old stack look for one."""
    service = {"id": service_id, "type": "compute", "files": ""}
    return {"id": did, "metadata": {"type": kind}, "services": [service]}
