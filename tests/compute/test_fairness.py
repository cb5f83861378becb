"""The rules of sharing out, over all that may be asked of them."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.fairness import (
    Line,
    Reason,
    Resources,
    Room,
    Shortage,
    Turn,
    Waiting,
    explain,
    held_back,
    in_turn,
    plan,
    positions,
    roomiest,
)

GIB = 1 << 30


def turns_of(*owners: tuple[str, int], left: int | None = None) -> list[Turn[str]]:
    return [Turn(name, [f"{name}{n}" for n in range(jobs)], left) for name, jobs in owners]


def line(name: str, needs: int, *, places: int = 9, jobs: int = 9, since: float | None = None
         ) -> Line[str]:  # fmt: skip
    """An environment of one owner whose jobs need so many processors."""
    return Line(name, Resources(needs * 1000), places, turns_of((name, jobs)), since)


def started(made: object) -> list[str]:
    return [start.job for start in made.starts]  # type: ignore[attr-defined]


# The order of an environment


def test_owners_take_turns() -> None:
    order = [job for _, job in in_turn(turns_of(("a", 3), ("b", 1), ("c", 2)))]
    assert order == ["a0", "b0", "c0", "a1", "c1", "a2"]


def test_what_an_owner_may_not_have_yet_comes_behind_all_others() -> None:
    turns = [*turns_of(("a", 3), left=1), *turns_of(("b", 2)), *turns_of(("c", 2), left=0)]
    assert [job for _, job in in_turn(turns)] == ["a0", "b0", "b1"]
    assert [job for _, job in in_turn(held_back(turns))] == ["a1", "c0", "a2", "c1"]
    assert positions(turns) == {
        "a0": (1, False), "b0": (2, False), "b1": (3, False),
        "a1": (4, True), "c0": (5, True), "a2": (6, True), "c1": (7, True),
    }  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 20), st.none() | st.integers(0, 5)), max_size=12))
def test_each_job_has_one_position_and_none_is_left_out(
    owners: list[tuple[int, int | None]],
) -> None:
    turns = [Turn(n, [(n, k) for k in range(jobs)], left) for n, (jobs, left) in enumerate(owners)]
    found = positions(turns)  # type: ignore[arg-type]
    assert sorted(place for place, _ in found.values()) == list(range(1, len(found) + 1))
    assert len(found) == sum(jobs for jobs, _ in owners)


class Circle:
    """The circle as the store keeps it, and one place after the other given away."""

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}

    def come(self, owner: str, jobs: int) -> None:
        self.waiting[owner] = self.waiting.get(owner, 0) + jobs

    def give(self) -> str | None:
        owner = next(
            (name for name, _ in in_turn([Turn(n, range(k)) for n, k in self.waiting.items()])),
            None,
        )
        if owner is not None:
            left = self.waiting.pop(owner) - 1
            if left:
                self.waiting[owner] = left
        return owner


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(1, 30)) | st.none(), max_size=80
    )
)  # fmt: skip
def test_nobody_is_passed_over_by_more_starts_than_there_are_owners(
    happenings: list[tuple[str, int] | None],
) -> None:
    """However others come, leave and come back: None is a place that becomes free."""
    circle = Circle()
    passed: Counter[str] = Counter()
    for happening in [*happenings, *[None] * 200]:
        if happening is not None:
            circle.come(*happening)
            continue
        served = circle.give()
        for owner in circle.waiting:
            passed[owner] += 1
        passed.pop(served or "", None)
        assert all(number <= len("abcdef") for number in passed.values())


# The machine


def test_environments_take_turns_on_a_machine() -> None:
    made = plan([line("a", 1), line("b", 1)], Resources(3000), now=5.0, patience_s=60)
    assert started(made) == ["a0", "b0", "a1"]
    assert made.waits == {"a": 5.0, "b": 5.0}
    made = plan([line("a", 1), line("b", 1, since=4.0)], Resources(1000), now=6.0, patience_s=60)
    assert started(made) == ["b0"]


def test_a_small_job_may_pass_a_large_one_for_a_while() -> None:
    lines = [line("large", 4, since=10.0), line("small", 1, jobs=1)]
    made = plan(lines, Resources(2000), now=69.0, patience_s=60)
    assert (started(made), made.waits, made.kept) == (["small0"], {"large": 10.0}, [])
    made = plan(lines, Resources(2000), now=70.0, patience_s=60)
    assert (started(made), made.kept) == ([], ["large"])


def test_only_what_is_short_is_kept() -> None:
    """A job that waits for a GPU does not keep others from the processors it leaves."""
    gpu = Line("gpu", Resources(1000, 0, 0, 1), 1, turns_of(("g", 1)), 0.0)
    made = plan([gpu, line("small", 1)], Resources(3000), now=100.0, patience_s=60)
    assert started(made) == ["small0", "small1"]


def test_places_and_wallets_bound_what_fits() -> None:
    limited = Line("a", Resources(1), 4, turns_of(("x", 5), ("y", 1), left=2))
    made = plan([limited, line("b", 1, places=0)], Resources(10**9), now=0, patience_s=60)
    assert started(made) == ["x0", "y0", "x1"]
    assert made.waits == {}


NEEDS = st.builds(Resources, *(st.integers(0, 5) for _ in range(4)))
SOME = st.builds(Resources, *(st.integers(-2, 12) for _ in range(4)))
OWNERS = st.lists(st.tuples(st.integers(1, 4), st.none() | st.integers(0, 3)), max_size=4)
LINES = st.lists(
    st.tuples(NEEDS, st.integers(0, 5), OWNERS, st.none() | st.floats(0, 100)), max_size=5
)


def lines_of(
    drawn: list[tuple[Resources, int, list[tuple[int, int | None]], float | None]],
) -> list[Line[int]]:
    numbers = count()
    return [
        Line(
            f"e{n}",
            needs,
            places,
            [Turn(f"o{k}", [next(numbers) for _ in range(jobs)], left)
             for k, (jobs, left) in enumerate(owners)],
            since,
        )
        for n, (needs, places, owners, since) in enumerate(drawn)
    ]  # fmt: skip


@given(LINES, SOME, st.sampled_from([0.0, 50.0, 1e9]))
def test_a_plan_never_over_commits_and_leaves_nothing_undone(
    drawn: list[tuple[Resources, int, list[tuple[int, int | None]], float | None]],
    free: Resources,
    patience_s: float,
) -> None:
    lines = {each.environment: each for each in lines_of(drawn)}
    made = plan(list(lines.values()), free, now=100.0, patience_s=patience_s)
    places = Counter(start.environment for start in made.starts)
    owned = Counter((start.environment, start.owner) for start in made.starts)
    left = free
    for start in made.starts:
        assert lines[start.environment].needs.fit(left)
        left -= lines[start.environment].needs
    assert len({start.job for start in made.starts}) == len(made.starts)
    assert all(number <= lines[name].places for name, number in places.items())
    kept = Resources()
    for name in made.kept:
        kept += lines[name].needs
    for name, each in lines.items():
        for turn in each.turns:
            taken = owned[name, turn.owner]
            assert turn.left is None or taken <= turn.left
            may_have_more = taken < len(turn.jobs) and (turn.left is None or taken < turn.left)
            if may_have_more and places[name] < each.places:
                # What waits is told, and waits only for what is not there or is kept.
                assert name in made.waits
                assert name in made.kept or not each.needs.fit(left - kept)
                assert not each.needs.fit(left) or kept != Resources()


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(1, 8), st.integers(1, 5)), min_size=1, max_size=4),
)
def test_whatever_fits_the_machine_starts_in_the_end(
    size: int, others: list[tuple[int, int]]
) -> None:
    """One job of ``size`` against others that never run dry; a round is a second, and each
    job runs for as many rounds as is said."""
    machine, patience = 8, 10
    running: list[tuple[int, int]] = []
    since: dict[str, float] = {}
    for now in range(200):
        running = [(needs, ends) for needs, ends in running if ends > now]
        lines = [line("big", size, jobs=1, since=since.get("big"))]
        lines += [
            line(f"e{n}", needs, jobs=3, since=since.get(f"e{n}"))
            for n, (needs, _) in enumerate(others)
        ]
        used = sum(needs for needs, _ in running)
        made = plan(lines, Resources((machine - used) * 1000), now=float(now), patience_s=patience)
        since = made.waits
        for start in made.starts:
            if start.environment == "big":
                return
            needs, lasts = others[int(start.environment[1:])]
            running.append((needs, now + lasts))
    pytest.fail("the big job never started")


# Explaining


NEED = Resources(2000, GIB, GIB, 0)
FREE = Resources(8000, 8 * GIB, 8 * GIB, 0)


@pytest.mark.parametrize(
    ("place", "room", "told"),
    [
        ((1, True), Room(5, NEED, FREE), Waiting(Reason.CONSUMER_LIMIT, 1)),
        ((3, False), Room(0, NEED, FREE, 9.0), Waiting(Reason.PLACE, 3, frees_by=9.0)),
        ((3, False), Room(2, NEED, FREE, 9.0), Waiting(Reason.PLACE, 3, frees_by=9.0)),
        ((2, False), Room(2, NEED, FREE, 9.0), Waiting(Reason.NEXT, 2)),
        (
            (7, False),
            Room(2, NEED, Resources(1500, GIB // 2, GIB, 0)),
            Waiting(
                Reason.MACHINE, 7, (Shortage("cpu", 2.0, 1.5), Shortage("ram", 1.0, 0.5))
            ),
        ),
        ((1, False), Room(2, NEED, None), Waiting(Reason.MACHINE, 1)),
    ],
)  # fmt: skip
def test_why_a_job_waits(place: tuple[int, bool], room: Room, told: Waiting) -> None:
    assert explain(place, room) == told


def test_a_machine_that_is_promised_more_than_it_has_has_nothing_free() -> None:
    room = Room(1, NEED, FREE - Resources(9000))
    assert explain((1, False), room).short == (Shortage("cpu", 2.0, 0.0),)


def test_of_several_machines_the_roomiest_counts() -> None:
    assert roomiest(NEED, {"a": Resources(), "b": FREE, "c": Resources(4000)}) == FREE
    assert roomiest(NEED, {}) is None


def test_what_is_not_needed_is_never_short() -> None:
    assert Resources(0, 5).fit(Resources(-3, 5))
    assert Resources(1, 5).short_of(Resources(-3, 4)) == ("cpu", "ram")
    assert Resources.of(cpus=0.0001, memory_bytes=1, disk_bytes=2, gpus=3) == Resources(1, 1, 2, 3)
