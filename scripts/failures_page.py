"""Write the page about failures from the table in the code.

    failures_page.py FILE

A test holds docs/failures.md against it; ``make failures-page`` writes it anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from compute.cards import TABLE
from compute.decide import MOST_TRIES
from compute.patience import ENGINE_PATIENCE
from compute.reasons import Entry, Retry
from compute.reconciler import Limits
from compute.workqueue import backoff_s

HEAD = """\
# When a job fails

Each way for a job to fail has a number, a word, and a card that says what happened, who can do
something about it, and whether starting the job again can help. The job object has it as
`failure`, null for a job that is not over, that completed, or that its owner stopped:

| field | |
|---|---|
| `reason` | the word; programs may match on it, it does not change |
| `cause` | what it means |
| `evidence` | what was seen with this job: a sentence, with the stage and the exit code if there \
are any; never anything of what the algorithm wrote or printed |
| `whoCanFix` | a list of `consumer`, `data_owner` and `operator`, the likeliest first |
| `retry` | what comes of starting the same job again: {retries} |
| `advice` | what to do |
| `tries` | how often the provider tried before it gave up; 1 for what is never tried again |

`ocean-compute status JOB` and every command that waits for a job print the same. Jobs that ended
with a word that is not listed here, under another version of the service, have a card for their
number alone.

## What is tried again by itself

An algorithm that has begun to run is never run a second time, whatever becomes of it. What goes
wrong on the provider's side before that, or after its end, is tried again:

| what | how often |
|---|---|
| the engine does not answer | until it does; the job stays where it is, and no try is counted |
| a registry, or the place of an input, cannot be reached, breaks off, asks to wait (429) or \
answers 5xx | {tries} times, after {pauses} |
| the disk is full, a volume cannot be made, results cannot be written or encrypted, something \
was not foreseen | {tries} times, after the same pauses |
| the engine answers, with a fault of its own, before the algorithm has begun | {engine_tries} \
times, in about {engine_s} s altogether; afterwards it is waited for |
| what will not be better next time: no such image or file, a checksum that differs, a use that \
is not allowed any more, an entrypoint that there is not | never |

Each try that failed is a line of the job's history, "try 2 of {tries} failed", with the cause.
Stopping or deleting a job does not wait for the next try. A job keeps its place meanwhile, and
where time was paid for, that goes on. After the last try the job ends, with `tries`. A container
that was removed by others is not made anew: see
[the decision](decisions/0014-what-ran-is-not-run-again.md).

## The cards
"""

_PEOPLE = {"consumer": "the consumer", "data_owner": "the data owner", "operator": "the operator"}


def page() -> str:
    """The whole page."""
    retries = "; ".join(f"`{each.value}` ({_lower(each.sentence)})" for each in Retry)
    limits = Limits()
    pauses = _pauses(limits, MOST_TRIES)
    head = HEAD.format(
        retries=retries,
        tries=MOST_TRIES,
        pauses=" and ".join([", ".join(pauses[:-1]), pauses[-1]]) + " s",
        engine_tries=MOST_TRIES * ENGINE_PATIENCE,
        engine_s=sum(map(int, _pauses(limits, MOST_TRIES * ENGINE_PATIENCE))),
    )
    entries = sorted(TABLE, key=lambda each: (each.phases[0].number, TABLE.index(each)))
    return head + "".join(line for each in entries for line in _lines(each))


def _pauses(limits: Limits, tries: int) -> list[str]:
    return [
        f"{backoff_s(n, first_s=limits.fault_s, most_s=limits.most_backoff_s):g}"
        for n in range(tries - 1)
    ]


def _lines(entry: Entry) -> Iterator[str]:
    card = entry.card
    where = ", ".join(f"{phase.number} {phase.text}" for phase in entry.phases)
    again = " The provider had tried several times." if card.tried_again else ""
    yield f"\n### {', '.join(str(phase.number) for phase in entry.phases)} `{entry.reason}`\n\n"
    yield f"{where}. {card.cause}\n\n"
    yield f"- Can be fixed by: {', then '.join(_PEOPLE[who] for who in card.who)}.\n"
    yield f"- Retry: {_lower(card.retry.value.replace('_', ' '))}.{again}\n"
    yield f"- What to do: {card.advice}\n"


def _lower(sentence: str) -> str:
    return (sentence[0].lower() + sentence[1:]).removesuffix(".")


if __name__ == "__main__":
    [target] = sys.argv[1:]
    Path(target).write_text(page(), encoding="utf-8")
