"""Shell patterns over the paths of results and over words for contents. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

ANY_FOLDERS = "**"


def matches_any(path: str, patterns: Iterable[str]) -> bool:
    """Whether the whole path fits one of the patterns.

    ``*``, ``?`` and ``[…]`` stand for characters of one name and never for ``/``; ``**``
    between slashes stands for any number of folders, none among them: ``*.csv`` are those at
    the top, ``**/*.csv`` all.
    """
    names = path.split("/")
    return any(_fits(names, pattern.split("/")) for pattern in patterns)


def _fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """``reached`` are the numbers of names that the pattern so far can have used up."""
    reached = {0}
    for part in pattern:
        if part == ANY_FOLDERS:
            reached = set(range(min(reached), len(names) + 1)) if reached else reached
        else:
            reached = {
                used + 1 for used in reached if used < len(names) and fnmatchcase(names[used], part)
            }
    return len(names) in reached


def is_allowed(word: str, patterns: Iterable[str]) -> bool:
    """Whether a word for contents fits one of the patterns: ``image/*``, ``text/csv``."""
    return any(fnmatchcase(word, pattern) for pattern in patterns)
