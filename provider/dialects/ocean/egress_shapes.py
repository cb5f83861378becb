"""What may leave an environment, and what became of a job's outputs, as types: read for the
API's description alone."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from provider.openapi.operations import shape


@shape
class EnvironmentEgress(TypedDict):
    """What the environment lets out; null and empty lists do not restrict. A dataset's own rules
    come on top."""

    maxBytes: int | None
    """All outputs of a job together."""
    maxFiles: int | None
    """Outputs of a job."""
    maxRows: int | None
    """Of each table: lines of a text, members of a JSON array or object, elements of one name."""
    maxLogBytes: int | None
    """So many bytes of each log are kept, its beginning."""
    names: list[str]
    """Shell patterns over the paths of outputs; each has to fit one."""
    types: list[str]
    """Patterns over what contents are, such as image/* or text/csv; each has to fit one."""
    noInputCopies: bool
    """Whether what equals an input is refused, in archives, too."""
    filterImage: str
    """Always empty: the environment's filter is not among its rules."""
    hold: Literal["never", "fired", "always"]
    """When results wait for a reviewer."""
    holdFor: int
    """Seconds that a reviewer has."""


@shape
class Egress(TypedDict):
    """What the rules said of what a job left behind. It tells rules, and nothing of the data."""

    outcome: Literal["pass", "hold", "refuse"]
    """The strictest of all sources of rules."""
    rules: list[str]
    """Those that fired, with their limits."""
    heldUntil: float | None
    """Of results that are or were held: when they are refused unless somebody decides, in
    seconds since the epoch."""
