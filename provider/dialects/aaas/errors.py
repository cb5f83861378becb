"""The numbers in an error's envelope, and the refusals that are this API's own.

The source knows two numbers and answers mistakes with HTTP 500. Here a mistake of the caller's
is 400; clients look at the number in the body alone.
"""

from __future__ import annotations

from provider.errors import ProviderError

OTHER = 1
PARAMETER = 100


class ParameterWrong(ProviderError):
    """An argument is missing or cannot be used; the text names it."""


class NoTask(ProviderError):
    """The log of a task that there is not."""

    def __init__(self) -> None:
        super().__init__("no task")


class TooManyFollowers(ProviderError):
    """As many as the operator allows wait for logs already."""

    status = 429

    def __init__(self) -> None:
        super().__init__("Too many wait for logs at the moment; try again.")
