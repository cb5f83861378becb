"""What is counted, under which names: the one module that knows Prometheus.

Names begin with ``ocean_compute_``, say their unit in the singular base unit (``_seconds``,
``_bytes``) and end with ``_total`` when they only grow. Labels take few values, all known
before anybody asks: phases, reasons, configured environments and chains, route templates,
methods and status numbers. No label holds anything that a stranger, a wallet or a job
chose. As far as possible all of them are there, with 0, from the start.

Counters are of this process. Gauges of jobs are read from the store, which all processes of
an installation share: take their ``max``, not their ``sum``, over processes.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import Counter, Gauge, Histogram, Info
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from compute.metrics import Recorder
from compute.status import UNFINISHED, Phase
from compute.store.figures import Standing
from provider.errors import (
    KeyWrong,
    NonceInvalid,
    NonceTooLow,
    SignatureMalformed,
    SignatureMissing,
    SignatureWrong,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
)

PREFIX: Final = "ocean_compute"

UNMATCHED: Final = "unmatched"
"""The route of all paths, and methods of paths, that are none."""

OTHER: Final = "other"

REASONS: Final[Mapping[type[Exception], str]] = {
    SignatureMissing: "signature_missing",
    SignatureMalformed: "signature_malformed",
    SignatureWrong: "signature_wrong",
    NonceTooLow: "nonce_too_low",
    NonceInvalid: "nonce_invalid",
    TokenInvalid: "token_invalid",
    TokenExpired: "token_expired",
    TokenRevoked: "token_revoked",
    KeyWrong: "key_wrong",
}

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_STATUSES = frozenset(map(int, HTTPStatus))
_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PHASE_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
_COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15)
_COMMIT_UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen when somebody asked; None or empty is what could not be seen.

    ``operators`` is how many processes work on jobs, ``parts`` by name: whether it is up, and
    when it last was (epoch seconds). ``heads`` and ``indexed`` are block numbers by chain id.
    """

    at: float = 0.0
    standing: Sequence[Standing] | None = None
    operators: int | None = None
    parts: Mapping[str, tuple[bool, float | None]] = field(default_factory=dict)
    free_bytes: int | None = None
    size_bytes: int | None = None
    cache_bytes: int | None = None
    heads: Mapping[int, int] = field(default_factory=dict)
    indexed: Mapping[int, int] = field(default_factory=dict)
    draining: bool = False


class _Registry(CollectorRegistry):
    """Without the library's ``_created`` series, which would double the answer."""

    def collect(self) -> Iterator[Metric]:
        for family in super().collect():
            family.samples = [each for each in family.samples if not _is_created(each.name)]
            yield family


def _is_created(name: str) -> bool:
    return name.endswith("_created")


class Metrics(Recorder):
    """All figures of one process, in a registry of its own."""

    def __init__(self, environments: Iterable[str], version: str) -> None:
        self.registry = _Registry(auto_describe=False)
        self.at_work = False
        self._environments = tuple(environments)
        self._shown: list[tuple[Gauge, Callable[[], float]]] = []
        self._bound: dict[tuple[object, str, int], tuple[Counter, Histogram]] = {}
        self._counters()
        self._histograms()
        self._operating = Gauge(
            f"{PREFIX}_operating",
            "1 while this process works on jobs.",
            registry=self.registry,
        )
        Info(f"{PREFIX}_build", "What runs here.", registry=self.registry).info(
            {"version": version, "python": platform.python_version()}
        )
        self._looks = _Looks(self._environments)
        self.registry.register(self._looks)
        ProcessCollector(registry=self.registry)

    def _counters(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

        self._moves = counter("job_moves", "Moves of jobs into a phase.", "environment", "phase")
        self._requests = counter(
            "http_requests", "Answers to requests.", "route", "method", "status"
        )
        self._refusals = counter(
            "refusals", "Requests refused because of signature, nonce, token or key.", "reason"
        )
        self._inputs = counter("inputs", "Inputs given to jobs.", "source")
        self._input_bytes = counter("inputs_bytes", "Bytes of inputs given to jobs.", "source")
        self._commit_failures = counter(
            "store_commit_failures", "Commits of the database that failed."
        )
        for environment in self._environments:
            for phase in Phase:
                self._moves.labels(environment, phase.value)
        self._by_reason = {kind: self._refusals.labels(why) for kind, why in REASONS.items()}
        self._by_source = {
            fetched: (self._inputs.labels(source), self._input_bytes.labels(source))
            for fetched, source in ((True, "origin"), (False, "cache"))
        }

    def _histograms(self) -> None:
        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(
                f"{PREFIX}_{name}", text, labels, buckets=buckets, registry=self.registry
            )

        self._phases = histogram(
            "job_phase_duration_seconds",
            "How long jobs were in a phase that they have left.",
            _PHASE_S,
            "environment",
            "phase",
        )
        self._request_s = histogram(
            "http_request_duration_seconds",
            "Time until an answer began, or a streamed one ended.",
            _REQUEST_S,
            "route",
            "method",
        )
        self._commit_s = histogram(
            "store_commit_duration_seconds", "How long a commit of the database took.", _COMMIT_S
        )
        self._commit_units = histogram(
            "store_commit_units", "Units of work that shared a commit.", _COMMIT_UNITS
        )
        for environment in self._environments:
            for phase in sorted(UNFINISHED):
                self._phases.labels(environment, phase.value)

    # what the ground floor tells

    def moved(self, environment: str, before: Phase | None, after: Phase, seconds: float) -> None:
        self._moves.labels(environment, after.value).inc()
        if before is not None and not before.terminal:
            self._phases.labels(environment, before.value).observe(seconds)

    def input_taken(self, size_bytes: int, *, fetched: bool) -> None:
        number, volume = self._by_source[fetched]
        number.inc()
        volume.inc(size_bytes)

    def committed(self, units: int, seconds: float) -> None:
        self._commit_s.observe(seconds)
        self._commit_units.observe(units)

    def commit_failed(self, units: int) -> None:
        self._commit_failures.inc()

    def operating(self, at_work: bool) -> None:
        self.at_work = at_work
        self._operating.set(at_work)

    # what the middleware tells

    def answered(self, request: web.Request, status: int, seconds: float) -> None:
        """Count an answer. On the path of each request: labels are bound once a route."""
        info = request.match_info
        route = info.route if info.http_exception is None else None
        key = (route, request.method if route is not None else "", status)
        try:
            number, duration = self._bound[key]
        except KeyError:
            # An unknown method may be anything: it must not be kept under its own name.
            number, duration = self._bind(route, request.method, status)
            if route is not None and request.method in _METHODS:
                self._bound[key] = number, duration
        number.inc()
        duration.observe(seconds)

    def _bind(
        self, route: web.AbstractRoute | None, method: str, status: int
    ) -> tuple[Counter, Histogram]:
        resource = route.resource if route is not None else None
        template = resource.canonical if resource is not None else UNMATCHED
        method = method if method in _METHODS else OTHER
        shown = str(status) if status in _STATUSES else OTHER
        return (
            self._requests.labels(template, method, shown),
            self._request_s.labels(template, method),
        )

    def refused(self, error: BaseException) -> None:
        """Count a refusal, if it is one for reasons of signature, nonce, token or key."""
        reason = self._by_reason.get(type(error))  # type: ignore[arg-type]
        if reason is not None:
            reason.inc()

    # what others show

    def show(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge ``ocean_compute_<name>`` that is read whenever somebody asks. ``read`` is
        called on the event loop, must be quick and must not raise."""
        self._shown.append((Gauge(f"{PREFIX}_{name}", text, registry=self.registry), read))

    def see(self, seen: Seen) -> None:
        """What is told of the surroundings from now on."""
        self._looks.seen = seen
        for gauge, read in self._shown:
            gauge.set(read())


class _Looks(Collector):
    """Gauges of what was last seen. What could not be seen has no sample."""

    def __init__(self, environments: Sequence[str]) -> None:
        self._environments = environments
        self.seen = Seen()

    def collect(self) -> Iterator[Metric]:
        seen = self.seen
        yield from self._jobs(seen)
        up = _gauge("part_up", "1 while a part of the service answers.", "part")
        answered = _gauge(
            "part_last_answer_timestamp_seconds",
            "When a part last answered, in seconds since the epoch.",
            "part",
        )
        for part, (is_up, at) in seen.parts.items():
            up.add_metric([part], float(is_up))
            if at is not None:
                answered.add_metric([part], at)
        yield from (up, answered)
        yield _single("operators", "Processes that work on jobs.", seen.operators)
        yield _single("data_free_bytes", "Free space where DATA_DIR lies.", seen.free_bytes)
        yield _single("data_size_bytes", "Size of the disk of DATA_DIR.", seen.size_bytes)
        yield _single("cache_bytes", "Size of the cache of inputs.", seen.cache_bytes)
        yield _single("draining", "1 once the service was told to end.", seen.draining)
        yield _by_chain("chain_head_block", "The newest block of a chain.", seen.heads)
        yield _by_chain("index_block", "The last block that is indexed.", seen.indexed)

    def _jobs(self, seen: Seen) -> Iterator[Metric]:
        number = _gauge("jobs", "Jobs that are not finished, now.", "environment", "phase")
        oldest = _gauge(
            "queue_oldest_seconds",
            "How long the first of the jobs that wait for a place has waited.",
            "environment",
        )
        if seen.standing is not None:
            numbers = {
                (environment, phase): 0
                for environment in self._environments
                for phase in sorted(UNFINISHED)
            }
            waits = dict.fromkeys(self._environments, 0.0)
            for each in seen.standing:
                numbers[each.environment, each.phase] = each.number
                if each.phase is Phase.QUEUED and each.waiting_since is not None:
                    waits[each.environment] = max(0.0, seen.at - each.waiting_since)
            for (environment, phase), count in numbers.items():
                number.add_metric([environment, phase.value], count)
            for environment, seconds in waits.items():
                oldest.add_metric([environment], seconds)
        yield from (number, oldest)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)


def _single(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    family = _gauge(name, text)
    if value is not None:
        family.add_metric([], float(value))
    return family


def _by_chain(name: str, text: str, blocks: Mapping[int, int]) -> GaugeMetricFamily:
    family = _gauge(name, text, "chain")
    for chain, block in blocks.items():
        family.add_metric([str(chain)], block)
    return family
