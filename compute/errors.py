"""Everything that can go wrong on the ground floor.

``public`` is what an owner may read: it names no path, URL or secret. An
:class:`EngineUnavailable` is waited for. An :class:`EngineFault`, a :class:`VolumeFailed`, a
:class:`PublishingFailed`, and an :class:`InputUnavailable` or :class:`ImageUnavailable` marked
temporary are tried again a bounded number of times, and so is what nobody foresaw; everything
else ends what it belongs to.
"""

from __future__ import annotations


class ComputeError(Exception):
    """Base of all errors of this package."""

    def __init__(self, public: str) -> None:
        super().__init__(public)
        self.public = public


class EnvironmentsInvalid(ComputeError):
    """``environments.yaml`` has a mistake; the text names file, field and fix."""


class UnknownEnvironment(ComputeError):
    """No environment has this id."""


class UnknownJob(ComputeError):
    """No job has this id."""


class QueueFull(ComputeError):
    """The environment's queue limit is reached."""


class HoldTaken(ComputeError):
    """A job that has not finished yet holds what another one wants. ``name`` is what."""

    def __init__(self, name: str) -> None:
        super().__init__("This order carries a job that has not finished yet.")
        self.name = name


class NameTaken(ComputeError):
    """A job of this namespace that is not deleted has this name."""


class BuildRefused(ComputeError):
    """An image is not built: not allowed here, or its Dockerfile or one of its steps fails.
    ``output`` is the end of what the build printed."""

    def __init__(self, public: str, *, output: str = "") -> None:
        super().__init__(public)
        self.output = output


class MoveLost(ComputeError):
    """The job is no longer in the phase that the move started from."""


class EngineUnavailable(ComputeError):
    """The engine did not answer. Says nothing about any container: unknown is not gone."""


class EngineFault(EngineUnavailable):
    """The engine did answer, with a fault of its own. That says nothing about a container
    either, but it may be about this one request, and then waiting does not help."""


class EngineRefused(ComputeError):
    """The engine answered and will not do it, now or later (bad option, no such device)."""


class EntrypointRefused(EngineRefused):
    """The command line that a consumer gave is none, or not one for this image."""


class SecretUnavailable(ComputeError):
    """A secret of the job cannot be opened."""


class ImageUnavailable(ComputeError):
    """The image is not here and cannot be pulled, or is not the one asked for.

    ``temporary`` when the registry could not be asked, so that trying again may help.
    """

    def __init__(self, public: str, *, temporary: bool = False) -> None:
        super().__init__(public)
        self.temporary = temporary


class VolumeFailed(ComputeError):
    """The job's folder or its bounded output space could not be made."""


class InputUnavailable(ComputeError):
    """An input could not be had. ``temporary`` says whether trying again may help."""

    def __init__(self, public: str, *, temporary: bool = False) -> None:
        super().__init__(public)
        self.temporary = temporary


class PublishingFailed(ComputeError):
    """Outputs exist but could not be made into results."""


class UnknownResult(ComputeError):
    """The job has no result of this index."""


class LogCut(ComputeError):
    """A log has outgrown its bound: what was asked for of it is not there any more."""


class LogTooShort(ComputeError):
    """A log that will not grow any more ends before the byte that was asked for."""


class StoreUnavailable(ComputeError):
    """The database could not be opened, read or written: full, locked, read-only, broken."""
