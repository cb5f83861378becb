"""The words for how jobs end, and what a card about a failure holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from compute.status import Phase


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
