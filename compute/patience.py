"""Which faults are tried again, how often, and by which word a job ends after the last. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from compute.errors import (
    EngineFault,
    EngineRefused,
    EntrypointRefused,
    ImageUnavailable,
    PublishingFailed,
    SecretUnavailable,
    VolumeFailed,
)
from compute.reasons import Reason

ENGINE_PATIENCE = 2
"""How many times more often an engine is asked that answers with faults of its own: one that is
being repaired or is short of something affects all jobs alike."""

_REASONS: Mapping[type[Exception], Reason] = MappingProxyType(
    {
        ImageUnavailable: Reason.IMAGE_UNAVAILABLE,
        EngineFault: Reason.ENGINE_FAULT,
        EngineRefused: Reason.ENGINE_REFUSED,
        EntrypointRefused: Reason.ENTRYPOINT_REFUSED,
        SecretUnavailable: Reason.SECRET_UNAVAILABLE,
        VolumeFailed: Reason.VOLUME_FAULT,
        PublishingFailed: Reason.PUBLISHING_FAULT,
    }
)


def reason_of(error: Exception) -> Reason:
    """The stable word for an error that ends a job."""
    if isinstance(error, ImageUnavailable) and error.temporary:
        return Reason.IMAGE_UNREACHABLE
    return _REASONS.get(type(error), Reason.INTERNAL_FAULT)


def is_final(error: Exception) -> bool:
    """True for what will not be better next time."""
    if isinstance(error, ImageUnavailable):
        return not error.temporary
    return isinstance(error, EngineRefused | SecretUnavailable)


def most_tries(error: Exception, usual: int) -> int:
    """How often what fails so is tried; ``usual`` is the number for all else."""
    return usual * ENGINE_PATIENCE if isinstance(error, EngineFault) else usual
