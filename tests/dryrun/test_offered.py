"""From what a provider tells to the environment that is tried, and what differs here."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import pytest

from compute.egress.rules import Hold
from compute.engines.base import Machine, PullPolicy
from compute.environments import Environment, parse
from compute.models import Load
from provider.chain.networks import ChainSettings
from provider.client.errors import AnswerNotUnderstoodError
from provider.dialects.ocean import responses
from provider.dialects.ocean.runtime import FIELDS
from provider.dryrun.offered import NOBODY, Offer, Price, fitted, offer, rules, without_network
from provider.dryrun.report import costs

MACHINE = Machine("here", cpus=2.0, memory_bytes=4 << 30)
GIB = 1 << 30
FULL = f"""
environments:
  - id: full
    cpu: 1.5
    cpuType: fast
    ramGB: 0.5
    diskGB: 0.25
    gpu: {{count: 2, type: big}}
    maxJobDuration: 77
    storageExpiry: 99
    stopGrace: 1.5
    maxOutputFiles: 12
    maxLogMB: 3
    tmpMB: 5
    pids: 17
    writableRoot: true
    user: "{os.geteuid() or 1234}:{os.getegid() or 1234}"
    network: bridge
    networkStages: ["build-*"]
    images: {{allow: ["python:3*"], pull: always, build: true}}
    filterImage: example/filter:1
    maxJobs: 9
    consumers: {{deny: ["0x00000000000000000000000000000000000000aa"]}}
"""
NOT_TOLD = {"maxJobs", "consumers", "maxJobsPerConsumer", "maxQueue", "maxQueueWait", "prices"}


def wire(environment: Environment, chain: ChainSettings | None = None) -> dict[str, Any]:
    return responses.environment(environment, Load(), "0x" + "cc" * 20, chain, 0.0)


def test_an_environment_comes_through_the_wire_as_it_was_configured() -> None:
    """All that decides how a job runs; not who may use it and how many at once."""
    [configured] = parse(FULL, "environments.yaml").values()
    made = offer([(None, wire(configured))])
    assert made.notes == ()
    fields = set(Environment.model_fields) - NOT_TOLD - {"egress"}
    assert made.environment.model_dump(include=fields) == configured.model_dump(include=fields)


def test_no_field_that_decides_how_a_job_runs_is_forgotten() -> None:
    """A new field of environments has to be told, or be named here as of no matter."""
    elsewhere = {"id", "description", "cpu", "cpuType", "ramGB", "diskGB", "gpu", "egress"}
    elsewhere |= {"maxJobDuration", "storageExpiry", "maxQueuePerConsumer", "consumerAddress"}
    assert set(FIELDS) | elsewhere | NOT_TOLD == set(Environment.model_fields)


def test_a_provider_that_tells_little_is_tried_with_usual_values() -> None:
    made = offer([("1", {"id": "old", "cpuNumber": 2, "ramGB": 1, "priceMin": 0.5})])
    assert made.environment == Environment(id="old", cpu=2, ramGB=1)
    assert "does not tell" in made.notes[0]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ramGB": "much"}, "ramGB"),
        ({"id": "../../etc"}, "id"),
        ({"runtime": {"user": "0:0"}}, "user"),
        ({"runtime": {"network": "host"}}, "network"),
        ({"runtime": {"images": {"allow": ["*.example.org/x"]}}}, "images.allow"),
        ({"runtime": {"pids": -1}}, "pids"),
        ({"egress": {"maxBytes": "x"}}, "egress.maxBytes"),
    ],
)
def test_what_no_operator_may_configure_no_provider_makes_us_run(
    changes: dict[str, Any], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(AnswerNotUnderstoodError) as error:
        offer([(None, {"id": "evil", "runtime": {}, **changes})])
    assert field in str(error.value)


def test_who_is_not_root_runs_it_as_oneself_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    monkeypatch.setattr(os, "getegid", lambda: 1002)
    made = offer([(None, {"id": "a", "runtime": {"user": "65534:65534"}})])
    assert made.environment.user == "1001:1002"
    assert made.notes == ("The algorithm runs as you (1001), at the provider as user 65534:65534.",)


def test_rules_are_read_without_reviewers() -> None:
    told = {"maxRows": 5, "hold": "fired", "holdFor": 60, "new": True}
    made = offer([(None, {"id": "a", "runtime": {}, "egress": told})])
    egress = made.environment.egress
    assert (egress.maxRows, egress.hold, egress.reviewers) == (5, Hold.FIRED, (NOBODY,))
    assert rules({"maxRows": 5}) == {"maxRows": 5}


def test_prices_are_those_of_all_chains() -> None:
    listed = [
        ("1", {"id": "a", "runtime": {}, "priceMin": 0.1, "feeToken": "0xAA"}),
        ("8996", {"id": "a", "runtime": {}, "priceMin": 2, "feeToken": "0xBB"}),
    ]
    assert offer(listed).prices == (
        Price("1", "0xAA", Decimal("0.1")),
        Price("8996", "0xBB", Decimal(2)),
    )


@pytest.mark.parametrize(
    "told", [-1, "-0.5", "NaN", "Infinity", "1e999999999", "1e-999999", 1e300, [], "free"]
)
def test_what_is_no_price_is_said_and_not_reckoned_with(told: Any) -> None:
    made = offer([("1", {"id": "a", "runtime": {}, "priceMin": told})])
    assert made.prices == (() if told else (Price("1", "", Decimal(0)),))
    assert made.notes == (("The price on chain 1 is not understood.",) if told else ())


@pytest.mark.parametrize("told", ["0.123456789012345678901234", "0E+999999", "1e18", 0.1 + 0.2])
def test_odd_prices_can_be_reckoned_with(told: Any) -> None:
    [price] = offer([("1", {"id": "a", "runtime": {}, "priceMin": told})]).prices
    assert price.per_minute == Decimal(str(told))
    assert costs(price, 60.0) >= price.per_minute


def test_who_lets_nothing_out_has_no_network_and_is_told() -> None:
    made = without_network(Offer(Environment(id="a", network="bridge"), notes=("first",)))
    assert made.environment.network == "none"
    assert made.notes == ("first", "Without the network that the environment has (--no-network).")
    closed = Offer(Environment(id="a"))
    assert without_network(closed) == closed


def test_a_smaller_machine_is_made_do_and_each_difference_told() -> None:
    wanted = Environment(id="large", cpu=64, ramGB=512, diskGB=1000)
    made, notes = fitted(wanted, MACHINE, 3 * GIB, gpus=True)
    assert (made.cpu, made.ramGB, made.diskGB) == (2.0, 4.0, 2.75)
    assert [note.partition(":")[2] for note in notes] == [
        " 2 processors instead of 64 processors.",
        " 4 GiB of memory instead of 512 GiB of memory.",
        " 2.75 GiB of disk instead of 1000 GiB of disk.",
    ]


def test_what_fits_stays_and_only_one_job_is_run_with_images_that_are_here() -> None:
    wanted = parse(FULL, "environments.yaml")["full"]
    made, notes = fitted(wanted, MACHINE, 99 * GIB, gpus=True)
    assert notes == []
    assert (made.maxJobs, made.images.pull) == (1, PullPolicy.MISSING)
    same = set(Environment.model_fields) - {"maxJobs", "maxQueue", "images"}
    assert made.model_dump(include=same) == wanted.model_dump(include=same)


def test_gpus_can_be_left_out() -> None:
    wanted = parse(FULL, "environments.yaml")["full"]
    made, notes = fitted(wanted, MACHINE, 99 * GIB, gpus=False)
    assert made.gpu.count == 0
    assert "--no-gpu" in notes[0]


def test_an_offer_of_ones_own_costs_nothing() -> None:
    assert Offer(Environment(id="own")).prices == ()
