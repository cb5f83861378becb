"""Whose rules hold for a job: its environment's and its datasets'. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from compute.egress.rules import EgressRules
from compute.egress.verdict import ENVIRONMENT
from compute.environments import Environment
from compute.models import Job


class Source(NamedTuple):
    """Whose rules: ``environment`` or a dataset's DID."""

    name: str
    rules: EgressRules


def rule_sources(job: Job, environment: Environment) -> list[Source]:
    """Those that restrict anything: the environment, then the datasets. A dataset that is asked
    for twice, by two of its services, counts twice. Where there is no dataset nothing can be a
    copy of one."""
    own: EgressRules = environment.egress
    if own.noInputCopies and not job.spec.datasets:
        own = own.model_copy(update={"noInputCopies": False})
    sources = [Source(ENVIRONMENT, own)]
    sources += [Source(item.did, item.egress) for item in job.spec.datasets if item.egress]
    return [source for source in sources if source.rules.restricts]


def filters(job: Job, environment: Environment) -> list[str]:
    """The images that the outputs have to pass, in order, each once: the environment's first."""
    return [image for image in filters_by_number(job, environment) if image]


def filters_by_number(job: Job, environment: Environment) -> list[str]:
    """The same with places for those that are not to run: the environment's is number 0, each
    dataset has a number of its own, whatever the environment says meanwhile."""
    named = [environment.filterImage]
    for item in job.spec.datasets:
        image = item.egress.filterImage if item.egress else ""
        named.append("" if image in named else image)
    return named


def most_log_bytes(job: Job, environment: Environment) -> int | None:
    """How much of each log may leave, from its beginning; None for all of it."""
    limits = [rules.maxLogBytes for rules in _rules(job, environment)]
    return min((limit for limit in limits if limit is not None), default=None)


def hides_logs(job: Job, environment: Environment) -> bool:
    """True when what the job prints must not be shown before it was judged or filtered."""
    rules = _rules(job, environment)
    return bool(environment.filterImage) or any(each.hides_logs for each in rules)


def hides_outputs(job: Job, environment: Environment) -> bool:
    """True when what the job writes must not be shown before it was judged or filtered."""
    rules = _rules(job, environment)
    return bool(environment.filterImage) or any(each.looks_at_outputs for each in rules)


def _rules(job: Job, environment: Environment) -> Iterator[EgressRules]:
    return (source.rules for source in rule_sources(job, environment))
