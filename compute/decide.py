"""What a job needs next. Pure: values in, one step out.

The reconciler looks, asks here, acts, and stores; people argue about limits, stops and
retries, and these are all in this file. Only a container that EXITED or is GONE ends a
run; whatever the engine does not say is not assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from compute.egress.sources import filters, filters_by_number
from compute.egress.verdict import Outcome, Verdict
from compute.engines.base import ContainerState, Observation
from compute.environments import Environment
from compute.failures import Reason, is_known
from compute.models import Job, Termination, Unfinished
from compute.status import Goal, Phase, may_move

FILE_SIZE_SIGNAL_EXIT = 128 + 25
"""Exit code of a process ended by SIGXFSZ: it wrote a file beyond the disk limit."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before ``until`` (None: before something happens)."""

    until: float | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Clean up and end the job without results."""

    termination: Termination


@dataclass(frozen=True, slots=True)
class PrepareImage:
    """Have the algorithm's image here."""


@dataclass(frozen=True, slots=True)
class Provision:
    """Make the output space and put inputs and algorithm in place."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Create the container if need be, and start it."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """The container has started: say so. ``pid`` is its process, if it still runs."""

    started_at: float
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """Write down why, then end the algorithm's container."""

    termination: Termination
    grace_s: float


@dataclass(frozen=True, slots=True)
class Conclude:
    """The algorithm is over: keep its log and go on to the results."""

    termination: Termination
    seen: Observation


@dataclass(frozen=True, slots=True)
class Advance:
    """The stage has done its work: keep its log and go on to the next one."""

    seen: Observation


@dataclass(frozen=True, slots=True)
class Filter:
    """Run the next filter image over the outputs."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """The present filter let the outputs pass, or there is none any more."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Turn outputs and log into results, clean up, end the job."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """All reviewers have released what is held: make results of it, end the job."""


@dataclass(frozen=True, slots=True)
class Purge:
    """Remove everything of an ended job but its row."""


Step = (
    Rest
    | Finish
    | PrepareImage
    | Provision
    | Launch
    | Adopt
    | Kill
    | Conclude
    | Advance
    | Filter
    | Filtered
    | Publish
    | Deliver
    | Purge
)

STOPPED = Termination(Phase.STOPPED, Reason.STOPPED, "stopped by its owner")

REVIEW_REFUSED = Termination(
    Phase.PUBLISHING_FAILED, Reason.OWNER_REFUSED, "a reviewer refused to release the results"
)
HOLD_EXPIRED = Termination(
    Phase.PUBLISHING_FAILED, Reason.HOLD_EXPIRED, "nobody released the results in time"
)

ORPHANED = Reason.ENVIRONMENT_REMOVED

MOST_TRIES = 5
"""How often something is tried that may go better the next time."""

_OUT_OF_PAID_TIME = Termination(
    Phase.ALGORITHM_FAILED,
    Reason.PAID_TIME_OVER,
    "the paid time was over before the algorithm's end",
)

LONGEST_RETRY_S = 300.0
"""Nothing that has failed waits longer than that for its next try. A later date was set before
the clock was put back."""

_PREPARING = frozenset({Phase.STARTED, Phase.CONFIGURING_VOLUMES})


def next_step(
    job: Job,
    environment: Environment | None,
    now: float,
    observation: Observation | None = None,
    space_full: bool = False,
) -> Step:
    """The next step of a job.

    ``observation`` is of the algorithm's container, in FILTERING of the filter's; it must
    be given in PROVISIONED, RUNNING and FILTERING. ``space_full`` says that the output
    space is exhausted. ``environment`` is None for one that is no longer configured.
    """
    if job.phase.terminal:
        deleting = job.goal is Goal.DELETE and job.phase is not Phase.DELETED
        return Purge() if deleting else Rest()
    if job.termination is not None and _is_ending(job.phase, job.termination):
        return Finish(job.termination)
    if job.phase is Phase.HELD:
        return _held(job, now)
    if environment is None:
        return _orphaned(job, observation)
    if job.phase is Phase.QUEUED:
        return _queued(job, environment, now)
    if job.phase in _PREPARING and job.goal is Goal.RUN and paid_time_over(job, now):
        return Finish(_OUT_OF_PAID_TIME)
    if job.goal is Goal.RUN and now < job.retry_at <= now + LONGEST_RETRY_S:
        return Rest(job.retry_at)
    if job.phase is Phase.PUBLISHING:
        return Publish()
    if job.phase in _PREPARING:
        return _preparing(job)
    return _with_container(job, environment, now, observation, space_full)


def _with_container(
    job: Job,
    environment: Environment,
    now: float,
    observation: Observation | None,
    space_full: bool,
) -> Step:
    if observation is None:
        raise ValueError(f"phase {job.phase} needs an observation")
    if job.phase is Phase.PROVISIONED:
        return _provisioned(job, now, observation)
    if job.phase is Phase.RUNNING:
        return _running(job, environment, now, observation, space_full)
    return _filtering(job, environment, now, observation)


def _is_ending(phase: Phase, termination: Termination) -> bool:
    """True when cleaning up after this outcome had begun already."""
    if phase in {Phase.PUBLISHING, Phase.HELD}:
        return termination.phase is Phase.PUBLISHING_FAILED
    return may_move(phase, termination.phase)


def _orphaned(job: Job, observation: Observation | None) -> Step:
    """Nothing leaves: the filter and the limits that were to hold are not known any more."""
    detail = "the environment was removed by its operator; nothing is published"
    if job.phase is Phase.RUNNING and observation is not None:
        end = Termination(Phase.PUBLISHING_FAILED, ORPHANED, detail)
        if observation.state is ContainerState.RUNNING:
            return Kill(end, 0.0)
        return Conclude(end, observation)
    late = job.phase in {Phase.FILTERING, Phase.PUBLISHING}
    phase = Phase.PUBLISHING_FAILED if late else Phase.STOPPED
    return Finish(Termination(phase, ORPHANED, detail))


def _queued(job: Job, environment: Environment, now: float) -> Step:
    if job.goal is not Goal.RUN:
        return Finish(STOPPED)
    expiry = queue_end(job, environment)
    if now < expiry:
        return Rest(min(expiry, job.retry_at) if job.retry_at > now else expiry)
    if expiry == job.spec.ends_by:
        detail = "the paid time was over before there was a place"
        return Finish(Termination(Phase.EXPIRED, Reason.PAID_TIME_OVER, detail))
    waited = f"waited longer than {environment.maxQueueWait} s for a place"
    return Finish(Termination(Phase.EXPIRED, Reason.QUEUE_WAIT, waited))


def _held(job: Job, now: float) -> Step:
    """What is held waits for its reviewers, and goes when nobody wants it or nobody decides.

    It needs no environment: its rules were applied, and what is held is all there is.
    """
    verdict = job.verdict or Verdict()
    if verdict.refused:
        return Finish(_withheld(job, REVIEW_REFUSED))
    if job.goal is not Goal.RUN:
        return Finish(STOPPED)
    if verdict.released:
        return Rest(job.retry_at) if now < job.retry_at <= now + LONGEST_RETRY_S else Deliver()
    if verdict.held_until is not None and now >= verdict.held_until:
        return Finish(_withheld(job, HOLD_EXPIRED))
    return Rest(verdict.held_until)


def _withheld(job: Job, end: Termination) -> Termination:
    """``end`` with what the algorithm's own end was."""
    own = job.termination or end
    return replace(end, exit_code=own.exit_code, oom_killed=own.oom_killed)


def must_be_held(job: Job) -> bool:
    """True when what was collected waits for a reviewer, be it nothing at all."""
    holds = job.verdict is not None and job.verdict.outcome is Outcome.HOLD
    return holds and job.goal is not Goal.DELETE


def queue_end(job: Job | Unfinished, environment: Environment) -> float:
    """Until when a queued job may wait for a place; a delay of its own does not count."""
    expiry = max(job.created_at, job.retry_at) + environment.maxQueueWait
    return expiry if job.ends_by is None else min(expiry, job.ends_by)


def latest_end(job: Job, environment: Environment) -> float | None:
    """When a running job's algorithm has ended at the latest; None where more of it is to come,
    whose start nobody knows."""
    if job.started_at is None or not job.in_last_stage or filters(job, environment):
        return None
    end = job.started_at + job.present.max_duration_s
    return (end if job.spec.ends_by is None else min(end, job.spec.ends_by)) + environment.stopGrace


def paid_time_over(job: Job, now: float) -> bool:
    """True when the job's algorithm must not run any more."""
    return job.spec.ends_by is not None and now >= job.spec.ends_by


def _preparing(job: Job) -> Step:
    if job.goal is not Goal.RUN:
        return Finish(STOPPED)
    return PrepareImage() if job.phase is Phase.STARTED else Provision()


def _provisioned(job: Job, now: float, observation: Observation) -> Step:
    if observation.state in {ContainerState.RUNNING, ContainerState.EXITED}:
        return Adopt(observation.started_at or now, observation.pid)
    if job.goal is not Goal.RUN:
        return Finish(STOPPED)
    return Finish(_OUT_OF_PAID_TIME) if paid_time_over(job, now) else Launch()


def _running(
    job: Job, environment: Environment, now: float, observation: Observation, space_full: bool
) -> Step:
    if observation.state is not ContainerState.RUNNING:
        return _over(job, observation, space_full)
    limit = (job.started_at or now) + job.present.max_duration_s
    deadline = limit if job.spec.ends_by is None else min(limit, job.spec.ends_by)
    if job.termination is not None:
        return Kill(job.termination, environment.stopGrace)
    if job.goal is not Goal.RUN:
        return Kill(STOPPED, 0.0 if job.goal is Goal.DELETE else environment.stopGrace)
    if now >= deadline:
        end = _time_limit(job) if now >= limit else _OUT_OF_PAID_TIME
        return Kill(end, environment.stopGrace)
    if space_full:
        return Kill(_DISK_QUOTA, 0.0)
    return Rest(deadline)


def _over(job: Job, observation: Observation, space_full: bool) -> Step:
    """The stage's container has ended: so has the job, unless there is more to do."""
    termination = job.termination or verdict(observation, space_full)
    if termination.phase is not Phase.COMPLETED or job.in_last_stage:
        return Conclude(termination, observation)
    if job.goal is not Goal.RUN:
        return Conclude(STOPPED, observation)
    return Advance(observation)


def _filtering(job: Job, environment: Environment, now: float, observation: Observation) -> Step:
    images = filters_by_number(job, environment)
    if job.goal is Goal.DELETE or not any(images[job.filters : job.filters + 1]):
        return Filtered()
    whose = "a dataset's" if job.filters else "the environment's"
    if observation.state in {ContainerState.GONE, ContainerState.CREATED}:
        return Filter()
    if observation.state is ContainerState.RUNNING:
        deadline = (observation.started_at or now) + environment.maxJobDuration
        return Rest(deadline) if now < deadline else Finish(_filter_failed(whose, "took too long"))
    if observation.exit_code == 0:
        return Filtered()
    return Finish(_filter_failed(whose, f"ended with exit code {observation.exit_code}"))


def verdict(observation: Observation, space_full: bool) -> Termination:
    """How an algorithm that ended by itself did."""
    code = observation.exit_code
    if observation.state is ContainerState.GONE:
        detail = "the container was removed from the engine before its end was seen"
        return Termination(Phase.ALGORITHM_FAILED, Reason.CONTAINER_GONE, detail)
    if observation.state is ContainerState.CREATED:
        detail = observation.error or "the container was made but never ran"
        return Termination(Phase.ALGORITHM_FAILED, Reason.NEVER_STARTED, detail)
    if space_full or code == FILE_SIZE_SIGNAL_EXIT:
        return Termination(
            Phase.QUOTA_EXCEEDED,
            Reason.DISK_QUOTA,
            _DISK_QUOTA.detail,
            exit_code=code,
            oom_killed=observation.oom_killed,
        )
    if code == 0 and not observation.error:
        return Termination(Phase.COMPLETED, Reason.COMPLETED, "", 0, observation.oom_killed)
    if observation.oom_killed:
        detail = "the algorithm used more memory than the environment gives"
        return Termination(Phase.ALGORITHM_FAILED, Reason.OUT_OF_MEMORY, detail, code, True)
    detail = observation.error or f"the algorithm ended with exit code {code}"
    return Termination(Phase.ALGORITHM_FAILED, Reason.EXIT_CODE, detail, code)


_DISK_QUOTA = Termination(
    Phase.QUOTA_EXCEEDED,
    Reason.DISK_QUOTA,
    "the outputs filled the disk that the environment gives",
)


def in_stage(job: Job, termination: Termination) -> Termination:
    """The outcome, naming the stage that the job ended in where it has several."""
    if len(job.spec.stages) == 1 or termination.stage or termination.phase is Phase.COMPLETED:
        return termination
    name = job.present.name
    detail = f"stage {name}: {termination.detail or termination.reason}"
    return replace(termination, stage=name, detail=detail)


def over_quota(termination: Termination) -> Termination:
    """The outputs turned out larger than allowed when they were collected."""
    return replace(
        termination,
        phase=Phase.QUOTA_EXCEEDED,
        reason=Reason.DISK_QUOTA,
        detail=_DISK_QUOTA.detail,
    )


def egress_refused(termination: Termination, verdict: Verdict) -> Termination:
    """The rules let nothing out, however the algorithm ended."""
    rules = "; ".join(verdict.fired)
    return replace(
        termination,
        phase=Phase.PUBLISHING_FAILED,
        reason=Reason.EGRESS_REFUSED,
        detail=f"the results are withheld by the rule {rules}",
    )


def _time_limit(job: Job) -> Termination:
    detail = f"the algorithm ran longer than {job.present.max_duration_s} s"
    return Termination(Phase.ALGORITHM_FAILED, Reason.TIME_LIMIT, detail)


def _filter_failed(whose: str, how: str) -> Termination:
    detail = f"{whose} filter {how}; the outputs are withheld"
    return Termination(Phase.PUBLISHING_FAILED, Reason.FILTER_FAILED, detail)


_FAILURES = {
    Phase.STARTED: Phase.IMAGE_FAILED,
    Phase.CONFIGURING_VOLUMES: Phase.VOLUMES_FAILED,
    Phase.PROVISIONED: Phase.CONTAINER_FAILED,
    Phase.FILTERING: Phase.PUBLISHING_FAILED,
    Phase.PUBLISHING: Phase.PUBLISHING_FAILED,
    Phase.HELD: Phase.PUBLISHING_FAILED,
}


def gives_up(phase: Phase, reason: Reason, detail: str, tries: int = 1) -> Termination | None:
    """The end of a job whose phase cannot be carried out, after so many ``tries``.

    None in RUNNING: a run that cannot be looked at may still be going on. What should not be
    able to happen in this phase is a fault that was not foreseen.
    """
    failure = _FAILURES.get(phase)
    if failure is None:
        return None
    word = reason if is_known(failure, reason) else Reason.INTERNAL_FAULT
    return Termination(failure, word, detail, tries=tries)
