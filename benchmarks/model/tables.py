"""The tables of docs/scale.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.model.inputs import ServiceTimes
from benchmarks.model.scenarios import Scenario, ceilings, scenarios
from benchmarks.model.simulation import Report


def tables(times: ServiceTimes) -> Iterator[str]:
    """Lines of Markdown."""
    yield f"Measured {times.measured} on {times.machine}."
    yield ""
    yield from _table(("input", "measured"), _inputs(times))
    yield from _table(
        ("part", "has no time left at"),
        ((name, f"{_round(rate)} jobs a minute") for name, rate in ceilings(times).items()),
    )
    head = (
        "jobs a minute",
        "staged for each",
        "databases",
        "`serve`",
        "`operate`",
        "machines",
        "places",
        "first to saturate",
        "processors",
        "writes a job",
        "store",
        "links in",
        "accepted in",
        "finished in",
    )
    yield from _table(head, (_row(*found) for found in scenarios(times)))


def _inputs(times: ServiceTimes) -> Iterator[tuple[str, str]]:
    yield "signature check", _ms(times.signature_s)
    yield "signed status request", _ms(times.status_s)
    yield "accepting a job (signed, durable)", _ms(times.start_s)
    yield "result request (signed, durable)", _ms(times.result_s)
    yield "a job: process that operates it", _ms(times.operator_s)
    yield "a job: programs for its output space", _ms(times.helpers_s)
    for number, box in times.containers.items():
        yield f"a container, {number} at once", f"{_ms(box.cpu_s)}; every {_ms(box.wall_s)}"
    yield "a job: kernel and engine beyond its container", _ms(times.kernel_s)
    yield "a job, from place to place, alone", f"{_ms(times.job_wall_s)} by the clock"
    yield "units of work a job", f"1 to accept it, {times.units_a_job:.1f} to operate it"
    for name, each in times.writes.items():
        text = f"{_ms(each.base_s)} and {_ms(each.nonce_s)} a nonce, {_ms(each.move_s)} a move"
        yield f"a transaction, {name}", f"{text}, by the clock"
    for name, one in (("staging with SHA-256", times.staging), ("a download", times.egress)):
        rate = f"{one.bytes_per_s / 1e6:,.0f} MB/s a stream"
        yield name, f"{rate}, {one.byte_cpu_s * (1 << 30):.2f} s of processor a GiB"


def _row(scenario: Scenario, staged: str, report: Report) -> tuple[str, ...]:
    plant, many = scenario.plant, scenario.installations
    used = report.utilisation
    total = [f"{many * number:,}" for number in (plant.serves, plant.operates, plant.machines)]
    total[1] = total[1] if plant.operates else "(the same)"
    store = {"sqlite": "SQLite", "postgresql": f"{many} PostgreSQL"}[plant.store]
    first = report.saturates_first
    busy = f"{first} {used[first]:.0%}"
    finished = sum(report.phases[name] for name in ("accepting", "queued", "operated"))
    return (
        f"{scenario.per_minute:,}",
        staged,
        store,
        *total[:2],
        f"{total[2]} of {plant.cores}",
        str(plant.places),
        busy,
        f"{used['processors']:.0%}",
        f"{report.units:.1f}",
        f"{used['store']:.0%}",
        f"{used['staging link']:.0%}",
        _ms(report.phases["accepting"]),
        f"{finished:.1f} s",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def _round(number: float) -> str:
    """Two digits: more are not known."""
    return f"{float(f'{number:.2g}'):,.0f}"
