"""Why a job failed, for the person at the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provider.cli.output import say
from provider.client.errors import plain

if TYPE_CHECKING:
    from provider.client.models import Failure, Job

_LONGEST = 600


def tell(job: Job) -> None:
    """Say on stderr why the job failed; of a provider that has no more, its one sentence."""
    if job.failure is not None:
        for line in lines(job.failure):
            say(line)
    elif job.detail:
        say(plain(job.detail))


def lines(failure: Failure) -> list[str]:
    """What is known of a failure, a line each; texts are the provider's and made harmless."""
    tried = f" (tried {failure.tries} times)" if failure.tries > 1 else ""
    told = {
        "why": failure.cause,
        "evidence": failure.evidence + tried,
        "can be fixed by": ", ".join(failure.who),
        "retry": failure.retry,
        "what to do": failure.advice,
    }
    told["can be fixed by"] = told["can be fixed by"].replace("_", " ")
    told["retry"] = told["retry"].replace("_", " ")
    return [f"{name + ':':17}{plain(text, _LONGEST)}" for name, text in told.items() if text]
