"""Names that are known without any rule: the lists in ``names``, small and here to be replaced."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).with_name("names")


def _read(name: str) -> frozenset[str]:
    """The lines of a list; those that begin with # are for people."""
    lines = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


PLACES = _read("places")
PLACES_IN_CHINESE = _read("places_zh")
ORGANISATIONS = _read("organisations")
ORGANISATIONS_IN_CHINESE = _read("organisations_zh")
GIVEN_NAMES = _read("given_names")
CHINESE_SURNAMES = _read("surnames_zh")
WORDS_LIKE_CHINESE_NAMES = _read("not_persons_zh")
