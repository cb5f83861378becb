"""From the environment object that a provider shows to the environment that is tried here. Pure.

What a stranger's provider says is judged like a file of one's own: the same model, with the same
refusals (never root, never the host's network). What this machine cannot give is made less, and
each difference is told: a dry run that says nothing of it would promise what it did not try.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError

from compute.egress.rules import EgressRules, Hold
from compute.engines.base import Machine, PullPolicy
from compute.environments import Environment, Gpu
from provider.client.errors import AnswerNotUnderstoodError, plain
from provider.dialects.ocean.runtime import FIELDS

NOBODY = "0x" + "0" * 40
"""Stands for reviewers, of whom a provider tells nothing."""

_SAME_NAMES = ("ramGB", "diskGB", "cpuType", "maxJobDuration", "storageExpiry")
_GIB = 1 << 30
_DISK_KEPT_FREE = 256 << 20
_LEAST_DISK_GB = 0.001
_MOST_PRICE = 10**36
_FINEST_PRICE = 100
"""Digits after the point."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a minute costs on a chain, in whole units of ``token``."""

    chain_id: str
    token: str
    per_minute: Decimal


@dataclass(frozen=True, slots=True)
class Offer:
    """An environment, what it costs, and what is worth knowing about how it was made."""

    environment: Environment
    prices: tuple[Price, ...] = ()
    notes: tuple[str, ...] = ()


def offer(listed: Sequence[tuple[str | None, Mapping[str, Any]]]) -> Offer:
    """The environment of the objects that describe it, one a chain. Raises
    AnswerNotUnderstoodError."""
    wire = listed[0][1]
    notes: list[str] = []
    values: dict[str, Any] = {
        "id": str(wire.get("id")),
        "description": str(wire.get("desc") or ""),
        "cpu": wire.get("cpuNumber", wire.get("nCPU", 1)),
        "gpu": {
            "count": wire.get("gpuNumber", wire.get("nGPU", 0)),
            "type": str(wire.get("gpuType") or ""),
        },
        **{name: wire[name] for name in _SAME_NAMES if wire.get(name) is not None},
    }
    runtime = wire.get("runtime")
    if isinstance(runtime, Mapping):
        values |= {name: runtime[name] for name in FIELDS if name in runtime}
    else:
        notes.append(
            "This provider does not tell how exactly it runs jobs (user, network, images, numbers"
            " of processes and files): usual values are taken."
        )
    notes += _without_other_user(values)
    if isinstance(wire.get("egress"), Mapping):
        values["egress"] = rules(wire["egress"])
    try:
        environment = Environment.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in fault["loc"])
        where = f"{where}: " if where else ""
        what = fault["msg"].removeprefix("Value error, ")
        raise AnswerNotUnderstoodError(
            f"The provider's environment {plain(str(wire.get('id')), 80)} cannot be tried here:"
            f" {plain(where, 100)}{plain(what, 200)}."
        ) from None
    prices = tuple(_prices(listed, notes))
    return Offer(environment, prices, tuple(notes))


def rules(told: Mapping[str, Any]) -> dict[str, Any]:
    """Rules of what may leave as they are told: without the wallets that decide."""
    values = {name: value for name, value in told.items() if name in EgressRules.model_fields}
    if values.get("hold", Hold.NEVER) != Hold.NEVER and not values.get("reviewers"):
        values["reviewers"] = [NOBODY]
    return values


def _without_other_user(values: dict[str, Any]) -> list[str]:
    """Only root can clean up what another user wrote."""
    user, uid = str(values.get("user", "")), os.geteuid()
    if not user or uid == 0 or user.partition(":")[0] == str(uid):
        return []
    del values["user"]
    return [f"The algorithm runs as you ({uid}), at the provider as user {plain(user, 30)}."]


def _prices(
    listed: Sequence[tuple[str | None, Mapping[str, Any]]], notes: list[str]
) -> list[Price]:
    found = []
    for chain_id, wire in listed:
        if chain_id is None:
            continue
        per_minute = _price(str(wire.get("priceMin") or 0))
        if per_minute is None:
            notes.append(f"The price on chain {plain(chain_id, 20)} is not understood.")
        else:
            found.append(Price(chain_id, plain(str(wire.get("feeToken") or ""), 42), per_minute))
    return found


def _price(text: str) -> Decimal | None:
    """None for what is no price: below nothing, or with more digits than can be reckoned with."""
    try:
        price = Decimal(text)
    except InvalidOperation:
        return None
    if not price.is_finite() or not 0 <= price <= _MOST_PRICE:
        return None
    if not price:
        return Decimal(0)
    return price if int(price.as_tuple().exponent) >= -_FINEST_PRICE else None


def without_network(found: Offer) -> Offer:
    """The same for somebody who lets nothing out, whatever the environment has."""
    if found.environment.network == "none":
        return found
    note = "Without the network that the environment has (--no-network)."
    environment = found.environment.model_copy(update={"network": "none"})
    return replace(found, environment=environment, notes=(*found.notes, note))


def fitted(
    environment: Environment, machine: Machine, free_bytes: int, *, gpus: bool
) -> tuple[Environment, list[str]]:
    """The environment as far as this machine goes, and what is less here than there."""
    changes: dict[str, Any] = {
        # One job, at once: what makes jobs wait at the provider is not tried here.
        "maxJobs": 1,
        "maxQueue": 1,
        "images": environment.images.model_copy(update={"pull": PullPolicy.MISSING}),
    }
    notes: list[str] = []

    def less(field: str, wanted: float, has: float, words: Callable[[float], str]) -> None:
        if wanted > has:
            changes[field] = has
            notes.append(f"This machine has less: {words(has)} instead of {words(wanted)}.")

    less("cpu", environment.cpu, machine.cpus, lambda n: f"{n:g} processors")
    memory = int(machine.memory_bytes / _GIB * 1000) / 1000
    less("ramGB", environment.ramGB, memory, lambda n: f"{n:g} GiB of memory")
    disk = max(_LEAST_DISK_GB, int((free_bytes - _DISK_KEPT_FREE) / _GIB * 1000) / 1000)
    less("diskGB", environment.diskGB, disk, lambda n: f"{n:g} GiB of disk")
    if environment.gpu.count and not gpus:
        changes["gpu"] = Gpu()
        notes.append(
            f"Without the {environment.gpu.count} GPUs that the environment has (--no-gpu)."
        )
    return environment.model_copy(update=changes), notes
