"""Why jobs fail, whose it is, and whether a retry can help: one table. Pure.

A job that ends otherwise than by itself or by its owner's wish has a *card* for the phase it
ends in and the reason word of its end. The table is total over what this package can end a job
with; what an earlier version wrote down, or a later one, has the general card of its phase.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from compute.models import Job, Termination
from compute.status import TERMINAL, Phase


class Reason(StrEnum):
    """The stable words for how jobs end. Clients match on them: none is ever renamed."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    QUEUE_WAIT = "queue_wait"
    PAID_TIME_OVER = "paid_time_over"
    ENVIRONMENT_REMOVED = "environment_removed"
    IMAGE_UNAVAILABLE = "image_unavailable"
    IMAGE_UNREACHABLE = "image_unreachable"
    VOLUME_FAULT = "volume_fault"
    INPUT_UNAVAILABLE = "input_unavailable"
    INPUT_UNREACHABLE = "input_unreachable"
    ENTRYPOINT_REFUSED = "entrypoint_refused"
    SECRET_UNAVAILABLE = "secret_unavailable"  # noqa: S105 (a word, no secret)
    ENGINE_REFUSED = "engine_refused"
    ENGINE_FAULT = "engine_fault"
    EXIT_CODE = "exit_code"
    KILLED = "killed"
    OUT_OF_MEMORY = "out_of_memory"
    TIME_LIMIT = "time_limit"
    CONTAINER_GONE = "container_gone"
    NEVER_STARTED = "never_started"
    DISK_QUOTA = "disk_quota"
    FILTER_FAILED = "filter_failed"
    EGRESS_REFUSED = "egress_refused"
    OWNER_REFUSED = "owner_refused"
    HOLD_EXPIRED = "hold_expired"
    SEALING_FAULT = "sealing_fault"
    PUBLISHING_FAULT = "publishing_fault"
    INTERNAL_FAULT = "internal_fault"


class Who(StrEnum):
    """Somebody who can do something about a failure."""

    CONSUMER = "consumer"
    DATA_OWNER = "data_owner"
    OPERATOR = "operator"


class Retry(StrEnum):
    """What comes of starting the same job again."""

    HELPS = "helps"
    HELPS_LATER = "helps_later"
    DOES_NOT_HELP = "does_not_help"

    @property
    def sentence(self) -> str:
        """The same for people."""
        return _SENTENCES[self]


_SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        Retry.HELPS: "Starting the same job again is likely to help.",
        Retry.HELPS_LATER: "Starting the same job again helps once the cause has passed.",
        Retry.DOES_NOT_HELP: "Starting the same job again ends in the same way.",
    }
)


@dataclass(frozen=True, slots=True)
class Card:
    """What there is to say about one kind of failure, before anything of the job is known.

    ``who`` can do something about it, the likeliest first. ``tried_again`` is true where the
    provider has tried a bounded number of times before it gave up.
    """

    cause: str
    who: tuple[Who, ...]
    retry: Retry
    advice: str
    tried_again: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A card with the phases and the word that it is for."""

    phases: tuple[Phase, ...]
    reason: Reason
    card: Card


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one job failed. ``evidence`` is one line that holds no secret; ``tries`` is how
    often the provider had tried before it gave up."""

    reason: str
    card: Card
    evidence: str
    tries: int


_C, _D, _O = Who.CONSUMER, Who.DATA_OWNER, Who.OPERATOR
_BEFORE_THE_END = (Phase.IMAGE_FAILED, Phase.VOLUMES_FAILED, Phase.CONTAINER_FAILED)
_LOG = "ocean-compute logs JOB"

_IN_THE_QUEUE = (
    Entry(
        (Phase.EXPIRED,),
        Reason.QUEUE_WAIT,
        Card(
            "The job waited for a place longer than its environment lets jobs wait.",
            (_C, _O),
            Retry.HELPS_LATER,
            "Start it again when fewer jobs wait, or in another environment. An operator can"
            " raise maxQueueWait or maxJobs.",
        ),
    ),
    Entry(
        (Phase.EXPIRED,),
        Reason.PAID_TIME_OVER,
        Card(
            "The time that was paid for was over before the job had a place.",
            (_C, _O),
            Retry.HELPS_LATER,
            "Order time again when fewer jobs wait, and enough of it to wait as well as to run.",
        ),
    ),
    Entry(
        (Phase.STOPPED, Phase.PUBLISHING_FAILED),
        Reason.ENVIRONMENT_REMOVED,
        Card(
            "The environment was removed while the job was in it. What was to keep its results"
            " safe is not known any more, so nothing is published.",
            (_O,),
            Retry.DOES_NOT_HELP,
            "Choose another environment, or ask the operator what became of this one.",
        ),
    ),
)

_IMAGES = (
    Entry(
        (Phase.IMAGE_FAILED,),
        Reason.IMAGE_UNAVAILABLE,
        Card(
            "The image is not to be had: there is none of this name, tag and checksum for this"
            " kind of machine, the provider may not pull it, or a pull takes too long.",
            (_C, _O),
            Retry.DOES_NOT_HELP,
            "Check the image's name, tag and checksum, for instance by pulling it yourself. An"
            " image that is private or has to lie on the machine is the operator's to provide.",
        ),
    ),
    Entry(
        (Phase.CONTAINER_FAILED,),
        Reason.IMAGE_UNAVAILABLE,
        Card(
            "The image was there and was removed from the machine before the container was made.",
            (_O,),
            Retry.HELPS,
            "Start the job again: the image is then had anew. An operator's clean-up of images"
            " should leave those alone that jobs are about to use.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.IMAGE_UNAVAILABLE,
        Card(
            "The environment's filter image is not to be had, so the outputs are withheld.",
            (_O,),
            Retry.DOES_NOT_HELP,
            "The operator has to correct filterImage of the environment or bring the image to"
            " the machine.",
        ),
    ),
    Entry(
        (Phase.IMAGE_FAILED,),
        Reason.IMAGE_UNREACHABLE,
        Card(
            "The image's registry could not be reached, asked to wait, or answered with a fault"
            " of its own.",
            (_O,),
            Retry.HELPS_LATER,
            "Start the job again later. An operator can look at the way to the registry, its"
            " limits for pulls, and credentials.",
            tried_again=True,
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.IMAGE_UNREACHABLE,
        Card(
            "The registry of the environment's filter image could not be reached, so the"
            " outputs are withheld.",
            (_O,),
            Retry.HELPS_LATER,
            "The operator should pull filter images before they are needed.",
            tried_again=True,
        ),
    ),
)

_INPUTS = (
    Entry(
        (Phase.DATA_FAILED,),
        Reason.INPUT_UNAVAILABLE,
        Card(
            "A dataset is not to be had: it is gone or has changed, may not be used any more,"
            " or is larger than the provider takes.",
            (_D, _O, _C),
            Retry.DOES_NOT_HELP,
            "The evidence says which. What is gone or has changed is the data owner's to mend,"
            " a size or an address that is not allowed the operator's, and who may not use it"
            " any more has to ask its owner.",
        ),
    ),
    Entry(
        (Phase.DATA_FAILED,),
        Reason.INPUT_UNREACHABLE,
        Card(
            "The place where a dataset lies did not answer, broke off, or answered with a fault"
            " of its own.",
            (_D, _O),
            Retry.HELPS_LATER,
            "Start the job again later. If that lasts, the data owner should look at where the"
            " files lie, and the operator at the way there.",
            tried_again=True,
        ),
    ),
    Entry(
        (Phase.ALGORITHM_MISSING,),
        Reason.INPUT_UNAVAILABLE,
        Card(
            "The algorithm's file is not to be had: it is gone or has changed, its address is"
            " not allowed, or it is too large.",
            (_C,),
            Retry.DOES_NOT_HELP,
            "The evidence says which. Send the code with the start, or have the algorithm's"
            " publisher mend the address.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_MISSING,),
        Reason.INPUT_UNREACHABLE,
        Card(
            "The place where the algorithm lies did not answer, broke off, or answered with a"
            " fault of its own.",
            (_C, _O),
            Retry.HELPS_LATER,
            "Start the job again later, or send the code with the start.",
            tried_again=True,
        ),
    ),
)

_CONTAINERS = (
    Entry(
        (Phase.CONTAINER_FAILED,),
        Reason.ENTRYPOINT_REFUSED,
        Card(
            "The entrypoint cannot be run: the image has no such program, it is no program for"
            " this machine, or the command line cannot be split.",
            (_C,),
            Retry.DOES_NOT_HELP,
            "Correct the entrypoint, or take an image that has the program.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.ENTRYPOINT_REFUSED,
        Card(
            "The environment's filter image has nothing that can be run, so the outputs are"
            " withheld.",
            (_O,),
            Retry.DOES_NOT_HELP,
            "The operator has to correct filterImage of the environment.",
        ),
    ),
    Entry(
        (Phase.CONTAINER_FAILED,),
        Reason.SECRET_UNAVAILABLE,
        Card(
            "A secret that the job was started with cannot be opened any more, as after a"
            " change of the provider's key.",
            (_O, _C),
            Retry.HELPS,
            "Start the job again, so that its secrets are sealed anew.",
        ),
    ),
    Entry(
        (Phase.IMAGE_FAILED, Phase.CONTAINER_FAILED, Phase.PUBLISHING_FAILED),
        Reason.ENGINE_REFUSED,
        Card(
            "The container engine will not do what the environment asks of it: a network, a"
            " device, a user or an option that it does not have.",
            (_O,),
            Retry.DOES_NOT_HELP,
            "The evidence has the engine's words. The operator has to make the environment and"
            " the engine fit each other.",
        ),
    ),
    Entry(
        (Phase.IMAGE_FAILED, Phase.CONTAINER_FAILED),
        Reason.ENGINE_FAULT,
        Card(
            "The container engine answers, but with a fault of its own, again and again.",
            (_O,),
            Retry.HELPS_LATER,
            "Start the job again later. The operator finds the engine's words in its log.",
            tried_again=True,
        ),
    ),
)

_RUNS = (
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.EXIT_CODE,
        Card(
            "The algorithm ran and ended with an error of its own.",
            (_C,),
            Retry.DOES_NOT_HELP,
            f"Read what it printed ('{_LOG}') and mend it; 'ocean-compute dry-run' runs it under"
            " the same rules on your machine. Above 128 the exit code is 128 and a signal's"
            " number: 139 is a crash. 255 without a word in the log can also mean that the"
            " machine was restarted; then a retry helps.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.KILLED,
        Card(
            "The algorithm was told to end, and neither by this service nor for the memory it"
            " used: as when the container engine or the machine is restarted, when an operator"
            " ends a container, or when the algorithm ends itself so.",
            (_O, _C),
            Retry.HELPS,
            "Start the job again. The provider does not do that by itself: nobody knows how far"
            " the algorithm had come, and no job runs twice. If it happens again, look whether"
            f" the algorithm does it ('{_LOG}').",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.OUT_OF_MEMORY,
        Card(
            "The algorithm used more memory than the environment gives, and was ended.",
            (_C,),
            Retry.DOES_NOT_HELP,
            "Read the data in parts, or choose an environment with more ramGB.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.TIME_LIMIT,
        Card(
            "The algorithm ran longer than a job may, and was ended.",
            (_C, _O),
            Retry.DOES_NOT_HELP,
            "Make it faster, give it less to do, or choose an environment with a longer"
            " maxJobDuration.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.PAID_TIME_OVER,
        Card(
            "The time that was paid for was over before the algorithm's end.",
            (_C,),
            Retry.DOES_NOT_HELP,
            "Order more time: it begins with the order, so waiting and fetching count, too.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.CONTAINER_GONE,
        Card(
            "Somebody or something removed the algorithm's container from the engine before its"
            " end was seen.",
            (_O,),
            Retry.HELPS,
            "Start the job again. The provider does not do that by itself: nobody knows how far"
            " the algorithm had come, and no job runs twice.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.NEVER_STARTED,
        Card(
            "The engine had said that the algorithm runs, and then that it never did.",
            (_O,),
            Retry.HELPS,
            "Start the job again. The provider does not do that by itself: of two answers that"
            " contradict each other it cannot tell which is true, and no job runs twice.",
        ),
    ),
    Entry(
        (Phase.QUOTA_EXCEEDED,),
        Reason.DISK_QUOTA,
        Card(
            "The algorithm wrote more than the environment gives room for.",
            (_C,),
            Retry.DOES_NOT_HELP,
            "Write less or compress it, keep scratch files in /tmp, or choose an environment"
            " with more diskGB.",
        ),
    ),
)

_RESULTS = (
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.FILTER_FAILED,
        Card(
            "The environment's filter did not let the outputs pass, or failed; they are withheld.",
            (_C, _O),
            Retry.DOES_NOT_HELP,
            "Find out from the environment's description what its filter lets pass. If it lets"
            " nothing pass at all, the operator should look at it.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.EGRESS_REFUSED,
        Card(
            "What the algorithm wrote or printed breaks a rule about what may leave the"
            " provider; nothing of it is published.",
            (_C, _D),
            Retry.DOES_NOT_HELP,
            "The evidence names the rule. Write results that keep it; 'ocean-compute dry-run'"
            " shows before which rule would fire.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.OWNER_REFUSED,
        Card(
            "A data owner has looked at the results and refused to release them.",
            (_D, _C),
            Retry.DOES_NOT_HELP,
            "Ask the data owner what may be released, and write that.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.HOLD_EXPIRED,
        Card(
            "The results were held for a data owner's decision, and nobody decided in time.",
            (_D,),
            Retry.HELPS,
            "Tell the data owner that something is held, and start the job again.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.SEALING_FAULT,
        Card(
            "The results could not be encrypted to the key that was given with the start.",
            (_O,),
            Retry.HELPS_LATER,
            "Start the job again later. The operator finds more in the service's log.",
            tried_again=True,
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.PUBLISHING_FAULT,
        Card(
            "The algorithm ran, but its outputs could not be made into results.",
            (_O,),
            Retry.HELPS_LATER,
            "Start the job again later. The operator should look at the disk that DATA_DIR lies"
            " on.",
            tried_again=True,
        ),
    ),
)

_ANYWHERE = (
    Entry(
        (*_BEFORE_THE_END, Phase.PUBLISHING_FAILED),
        Reason.VOLUME_FAULT,
        Card(
            "The provider's disk had no room for the job, or its space could not be made or"
            " was lost.",
            (_O,),
            Retry.HELPS_LATER,
            "Start the job again later. The operator should look at the disk that DATA_DIR lies"
            " on: whether it is full, and whether it may be mounted on.",
            tried_again=True,
        ),
    ),
    Entry(
        (*_BEFORE_THE_END, Phase.PUBLISHING_FAILED),
        Reason.INTERNAL_FAULT,
        Card(
            "Something went wrong in the provider that it had not foreseen.",
            (_O,),
            Retry.HELPS_LATER,
            "Tell the operator the job's id: the service's log has the rest.",
            tried_again=True,
        ),
    ),
)

TABLE: tuple[Entry, ...] = (
    *_IN_THE_QUEUE,
    *_IMAGES,
    *_INPUTS,
    *_CONTAINERS,
    *_RUNS,
    *_RESULTS,
    *_ANYWHERE,
)

_NO_FAILURES = frozenset(
    {
        (Phase.COMPLETED, Reason.COMPLETED),
        (Phase.STOPPED, Reason.STOPPED),
    }
)


def _pairs() -> Iterator[tuple[tuple[Phase, str], Card]]:
    for entry in TABLE:
        for phase in entry.phases:
            yield (phase, entry.reason), entry.card


CARDS: Mapping[tuple[Phase, str], Card] = MappingProxyType(dict(_pairs()))


def is_known(phase: Phase, reason: str) -> bool:
    """True for an end that has a card, or that is no failure."""
    return (phase, reason) in CARDS or (phase, reason) in _NO_FAILURES


def general_card(phase: Phase) -> Card:
    """What can be said when only the phase of an end is known."""
    return Card(
        f"The job ended as: {phase.text}.",
        (_O,),
        Retry.HELPS_LATER,
        "Ask the operator, who finds more in the service's log under the job's id.",
    )


def failure(job: Job) -> Failure | None:
    """Why a job failed; None for one that did not, is not over, or was stopped by its owner."""
    if not job.phase.terminal:
        return None
    if job.termination is not None:
        return explained(job.termination)
    if job.phase in {Phase.COMPLETED, Phase.STOPPED, Phase.DELETED}:
        return None
    return Failure("unknown", general_card(job.phase), job.phase.text, 1)


def explained(end: Termination) -> Failure | None:
    """Why a job failed that ended so; None for an end that is no failure."""
    if end.phase is Phase.COMPLETED or (end.phase, end.reason) in _NO_FAILURES:
        return None
    if end.phase not in TERMINAL:
        return None
    card = CARDS.get((end.phase, end.reason)) or general_card(end.phase)
    return Failure(str(end.reason), card, _evidence(end), end.tries)


def _evidence(end: Termination) -> str:
    told = end.detail or end.reason
    if end.exit_code and "exit code" not in told:
        return f"{told} (exit code {end.exit_code})"
    return told
