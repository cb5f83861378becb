"""The cards: one for all that a job can end with, whoever writes the end down."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from compute_samples import a_job, an_environment

import compute
import provider
from compute import decide
from compute.cards import TABLE
from compute.decide import next_step
from compute.egress.verdict import Decision, Finding, Outcome, Verdict
from compute.engines.base import GONE, ContainerState, Observation
from compute.errors import (
    ComputeError,
    EngineFault,
    EngineRefused,
    EntrypointRefused,
    ImageUnavailable,
    PublishingFailed,
    SecretUnavailable,
    VolumeFailed,
)
from compute.failures import (
    CARDS,
    Reason,
    Retry,
    Who,
    explained,
    failure,
    general_card,
    is_known,
)
from compute.models import Termination
from compute.patience import is_final, most_tries, reason_of
from compute.status import TERMINAL, Goal, Phase

Pair = tuple[Phase, str]
ROOT = Path(__file__).parents[2]

# What the code says. An end is written down with ``Termination(phase, reason, ...)`` or with
# ``replace(termination, phase=..., reason=...)``; both are looked for in all modules, and what
# stands there is worked out.

BY_HAND = {
    # The phase comes from a table and the word from an error; both are gone through below.
    ("compute.decide", "gives_up"),
    # Reads what was written down by whatever version.
    ("compute.store.rows", "_read_termination"),
}


def modules() -> Iterator[ModuleType]:
    for package in (compute, provider):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            source = Path(found.module_finder.path, f"{found.name.rpartition('.')[2]}.py")  # type: ignore[union-attr]
            if source.exists() and "Termination" in source.read_text():
                yield importlib.import_module(found.name)


class Ends(ast.NodeVisitor):
    """All ends that a module writes down."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.functions: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
        self.pairs: set[Pair] = set()
        self.unclear: list[str] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._inside(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._inside(node)

    def _inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.functions.append(node)
        self.generic_visit(node)
        self.functions.pop()

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else None
        name = node.func.id if isinstance(node.func, ast.Name) else name
        given = {each.arg: each.value for each in node.keywords if each.arg}
        if name == "Termination":
            given |= dict(zip(("phase", "reason"), node.args, strict=False))
        elif name != "replace" or "reason" not in given:
            return
        where = self.functions[0].name if self.functions else ""
        if len(self.functions) > 1 or (self.functions and self.functions[-1].name in dir(object)):
            where = self.functions[-1].name
        if (self.module.__name__, where) in BY_HAND:
            return
        phases = self._values(given.get("phase"), Phase)
        reasons = self._values(given.get("reason"), Reason)
        if not phases or not reasons:
            self.unclear.append(f"{self.module.__name__}:{node.lineno}")
        self.pairs |= set(product(phases & TERMINAL, reasons))

    def _values(self, node: ast.expr | None, kind: Callable[[str], Any]) -> set[Any]:
        """What stands there; of a local name, all of the kind that its function names."""
        if node is None:
            return set()
        value = self._value(node)
        if value is not None:
            assert kind(value), f"{self.module.__name__}:{node.lineno}"
            return {kind(value)}
        if not isinstance(node, ast.Name | ast.IfExp) or not self.functions:
            return set()
        scope = node if isinstance(node, ast.IfExp) else self.functions[-1]
        named = [self._value(each) for each in ast.walk(scope) if isinstance(each, ast.Attribute)]
        return {each for each in named if type(each) is kind}

    def _value(self, node: ast.expr) -> Any:
        code = compile(ast.Expression(node), "<end>", "eval")
        try:
            found = eval(code, dict(vars(self.module)))
        except (NameError, AttributeError):
            return None
        return found if isinstance(found, str) else None


@pytest.fixture(scope="module")
def written() -> dict[str, Ends]:
    found = {}
    for module in modules():
        ends = Ends(module)
        ends.visit(ast.parse(Path(str(module.__file__)).read_text()))
        found[module.__name__] = ends
    return found


def test_every_end_that_the_code_writes_down_has_a_card(written: dict[str, Ends]) -> None:
    pairs = {pair for ends in written.values() for pair in ends.pairs}
    assert [where for ends in written.values() for where in ends.unclear] == [], (
        "give Termination a Phase and a Reason where it is made"
    )
    assert {pair for pair in pairs if not is_known(*pair)} == set()
    # It does find them, in both modules and in all forms.
    assert {"compute.decide", "compute.steps"} <= {name for name in written if written[name].pairs}
    assert {
        (Phase.STOPPED, "environment_removed"),
        (Phase.QUOTA_EXCEEDED, "disk_quota"),
        (Phase.ALGORITHM_MISSING, "input_unreachable"),
        (Phase.ALGORITHM_FAILED, "exit_code"),
        (Phase.PUBLISHING_FAILED, "hold_expired"),
        (Phase.PUBLISHING_FAILED, "egress_refused"),
    } <= pairs


UNKNOWN = """
from compute.failures import Reason
from compute.models import Termination
from compute.status import Phase

def end(phase, how):
    return Termination({phase}, {reason}, "why")
"""


@pytest.mark.parametrize(
    ("phase", "reason", "pairs", "unclear"),
    [
        ("Phase.DATA_FAILED", "Reason.EXIT_CODE", {(Phase.DATA_FAILED, Reason.EXIT_CODE)}, False),
        ("Phase.DATA_FAILED", "'exit_code'", {(Phase.DATA_FAILED, Reason.EXIT_CODE)}, False),
        ("Phase.DATA_FAILED", "how", set(), True),
        ("phase", "Reason.EXIT_CODE", set(), True),
    ],
)
def test_an_end_without_a_card_would_be_found(
    phase: str, reason: str, pairs: set[Pair], unclear: bool
) -> None:
    module = ModuleType("made_up")
    text = UNKNOWN.replace("{phase}", phase).replace("{reason}", reason)
    exec(text, vars(module))
    ends = Ends(module)
    ends.visit(ast.parse(text))
    assert (ends.pairs, bool(ends.unclear)) == (pairs, unclear)
    assert not any(is_known(*pair) for pair in ends.pairs)


STATES = [
    GONE,
    Observation(ContainerState.CREATED, error="no"),
    Observation(ContainerState.RUNNING, started_at=500.0),
    *(
        Observation(ContainerState.EXITED, code, oom, 500.0, 550.0)
        for code, oom in ((0, False), (3, False), (137, True), (153, False))
    ),
]


def test_every_end_that_is_decided_on_has_a_card() -> None:
    held = Finding("environment", Outcome.HOLD)
    verdicts = [
        Verdict((replace(held, decision=decision),), held_until=505.0) for decision in Decision
    ]
    found: set[Pair] = set()
    cases = product(Phase, Goal, STATES, (510.0, 99_999.0), (None, 505.0), (False, True))
    for phase, goal, seen, now, ends_by, full in cases:
        waits = verdicts if phase is Phase.HELD else verdicts[:1]
        for environment, verdict in product((an_environment(), None), waits):
            job = a_job(phase=phase, goal=goal, started_at=500.0, verdict=verdict)
            job = replace(job, spec=job.spec.model_copy(update={"ends_by": ends_by}))
            taken = next_step(job, environment, now, seen, full)
            end = getattr(taken, "termination", None)
            if end is not None:
                found.add((end.phase, end.reason))
    assert {pair for pair in found if not is_known(*pair)} == set()
    assert {(Phase.PUBLISHING_FAILED, "owner_refused"), (Phase.EXPIRED, "queue_wait")} < found
    assert len(found) > 14


ERRORS: list[Exception] = [
    ZeroDivisionError(),
    ComputeError("x"),
    ImageUnavailable("x"),
    ImageUnavailable("x", temporary=True),
    EngineRefused("x"),
    EngineFault("x"),
    EntrypointRefused("x"),
    SecretUnavailable("x"),
    VolumeFailed("x"),
    PublishingFailed("x"),
]


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_whatever_is_given_up_has_a_card(phase: Phase, error: Exception) -> None:
    end = decide.gives_up(phase, reason_of(error), "why", 5)
    if end is not None:
        assert (end.phase, end.reason) in CARDS
        assert end.tries == 5


def test_what_can_be_met_in_a_phase_keeps_its_word() -> None:
    anywhere = {Reason.VOLUME_FAULT, Reason.INTERNAL_FAULT}
    images = {Reason.IMAGE_UNAVAILABLE, Reason.IMAGE_UNREACHABLE, Reason.ENGINE_REFUSED}
    met = {
        Phase.STARTED: anywhere | images | {Reason.ENGINE_FAULT},
        Phase.CONFIGURING_VOLUMES: anywhere,
        Phase.PROVISIONED: anywhere
        | {Reason.IMAGE_UNAVAILABLE, Reason.ENGINE_REFUSED, Reason.ENTRYPOINT_REFUSED}
        | {Reason.SECRET_UNAVAILABLE, Reason.ENGINE_FAULT},
        Phase.FILTERING: anywhere | images | {Reason.ENTRYPOINT_REFUSED},
        Phase.PUBLISHING: anywhere
        | {Reason.ENGINE_REFUSED, Reason.PUBLISHING_FAULT, Reason.SEALING_FAULT},
    }
    for phase, reasons in met.items():
        ends = [decide.gives_up(phase, reason, "why") for reason in reasons]
        assert {end.reason for end in ends if end} == reasons, phase


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_card_says_whether_it_was_tried_again(error: Exception) -> None:
    reason = reason_of(error)
    cards = [each.card for each in TABLE if each.reason == reason]
    assert cards
    assert {card.tried_again for card in cards} == {not is_final(error)}, reason
    assert most_tries(error, 5) == (10 if isinstance(error, EngineFault) else 5)


def test_an_algorithms_own_fault_is_never_tried_again_and_is_its_own() -> None:
    own = [Phase.ALGORITHM_FAILED, Phase.QUOTA_EXCEEDED]
    cards = {pair: card for pair, card in CARDS.items() if pair[0] in own}
    assert not any(card.tried_again for card in cards.values())
    for reason in (Reason.EXIT_CODE, Reason.OUT_OF_MEMORY, Reason.TIME_LIMIT):
        card = cards[Phase.ALGORITHM_FAILED, reason]
        assert (card.who[0], card.retry) == (Who.CONSUMER, Retry.DOES_NOT_HELP)


def test_the_table_is_whole_and_says_each_thing_once() -> None:
    pairs = [(phase, each.reason) for each in TABLE for phase in each.phases]
    assert len(pairs) == len(set(pairs)) == len(CARDS)
    assert {phase for phase, _ in pairs} == TERMINAL - {Phase.COMPLETED, Phase.DELETED}
    assert {reason for _, reason in pairs} == set(Reason) - {Reason.COMPLETED, Reason.STOPPED}
    for card in CARDS.values():
        assert card.cause.endswith(".")
        assert card.advice.endswith(".")
        assert card.who
        assert len(set(card.who)) == len(card.who)


# What is told of one job


def ended(phase: Phase, reason: str, **more: Any) -> Any:
    return a_job(phase=phase, termination=Termination(phase, reason, **more))


@pytest.mark.parametrize(
    "job",
    [
        ended(Phase.COMPLETED, "completed", exit_code=0),
        ended(Phase.COMPLETED, "exit_code", exit_code=0),
        ended(Phase.STOPPED, "stopped", exit_code=143),
        a_job(phase=Phase.STOPPED),
        a_job(phase=Phase.DELETED),
        a_job(phase=Phase.RUNNING),
        replace(ended(Phase.ALGORITHM_FAILED, "exit_code", exit_code=3), phase=Phase.PUBLISHING),
    ],
)
def test_what_is_no_failure_has_no_card(job: Any) -> None:
    assert failure(job) is None


def test_a_job_that_expired_in_the_queue_failed() -> None:
    told = failure(ended(Phase.EXPIRED, "queue_wait", detail="waited longer than 600 s"))
    assert told is not None
    assert (told.evidence, told.card.retry) == ("waited longer than 600 s", Retry.HELPS_LATER)


def test_a_deleted_job_keeps_why_it_failed() -> None:
    job = replace(ended(Phase.DATA_FAILED, "input_unavailable", detail="gone"), phase=Phase.DELETED)
    told = failure(job)
    assert told is not None
    assert told.card is CARDS[Phase.DATA_FAILED, "input_unavailable"]


@pytest.mark.parametrize(
    ("more", "evidence"),
    [
        ({"detail": "the algorithm ended with exit code 3", "exit_code": 3}, None),
        ({"detail": "too slow", "exit_code": 143}, "too slow (exit code 143)"),
        ({"detail": "too slow", "exit_code": 0}, "too slow"),
        ({"detail": "stage first: too slow", "stage": "first"}, "stage first: too slow"),
        ({}, "exit_code"),
    ],
)
def test_the_evidence_is_one_line_of_what_was_seen(more: Any, evidence: str | None) -> None:
    told = explained(Termination(Phase.ALGORITHM_FAILED, "exit_code", **more))
    assert told is not None
    assert told.evidence == (evidence or more["detail"])


@pytest.mark.parametrize("phase", sorted(TERMINAL - {Phase.COMPLETED, Phase.DELETED}))
def test_a_word_of_another_version_has_the_card_of_its_phase(phase: Phase) -> None:
    told = failure(ended(phase, "from_long_ago", detail="as it was"))
    assert told is not None
    assert (told.reason, told.evidence, told.card) == (
        "from_long_ago",
        "as it was",
        general_card(phase),
    )
    assert phase.text in told.card.cause


def test_a_failure_that_has_no_word_at_all_is_told_by_its_phase() -> None:
    told = failure(a_job(phase=Phase.DATA_FAILED))
    assert told is not None
    assert told.card == general_card(Phase.DATA_FAILED)
