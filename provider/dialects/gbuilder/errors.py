"""What this API alone refuses."""

from __future__ import annotations

from provider.errors import ProviderError


class UploadIncomplete(ProviderError):
    """A field of the form is missing or cannot be used; ``field`` names it."""


class InputRefused(ProviderError):
    """The file is not what the endpoint's model reads; the text names line and field."""


class NothingToStop(ProviderError):
    """No such task, or it is over. One answer for both, as the source has it."""
