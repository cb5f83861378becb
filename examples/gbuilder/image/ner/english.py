"""Organisations, places and persons in Latin letters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .gazetteer import GIVEN_NAMES, ORGANISATIONS, PLACES
from .spans import LOC, NOT_IN_WORD, ORG, PERSON, WORD_ENDS, Span, of_pattern

_WORD = r"[A-ZÀ-ÖØ-Þ][A-Za-zÀ-ÖØ-öø-ÿ'\u2019-]{1,40}"
_ACRONYM = r"[A-Z]{2,10}"
_NAMES = rf"(?:{_WORD}|{_ACRONYM})(?: (?:(?:of|and|&|for) )?(?:{_WORD}|{_ACRONYM}|&)){{0,5}}"
_SUFFIX = (
    r"(?:Inc|Ltd|LLC|PLC|plc|Corp|Co|GmbH|AG|SE|S\.A)\.?"
    r"|Corporation|Company|Limited|Group|Holdings|University|College|Institute|Academy|Laboratory"
    r"|Laboratories|Hospital|Bank|Foundation|Association|Society|Committee|Council|Agency|Museum"
    r"|Press|Party|Union|Airlines|Observatory"
)
_HEAD = (
    r"(?:University|Institute|College|Academy|Bank|Ministry|Department|Museum|Bureau|Church|Council"
    r"|Royal (?:Society|Academy|Institution)|Massachusetts Institute|House) of"
)
_TITLE = (
    r"(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor|Doctor|Sir|Dame|Lord|Lady|President|Chancellor|Minister"
    r"|Senator|Judge|Captain|Colonel|General|King|Queen|Prince|Princess|Emperor|Pope|Saint)\.?"
)
_PARTICLE = r"(?:de|da|di|van|von|der|den|la|le|du|bin|ibn|of)"
_INITIAL = r"[A-Z]\."
_FURTHER = rf"(?: (?:{_INITIAL}|{_PARTICLE} (?:{_PARTICLE} )?{_WORD}|{_WORD}))"
_VERB = (
    r"(?:was (?:born|awarded)|said|says|wrote|writes|discovered|invented|founded|studied|taught"
    r"|worked|lived|died|received|won|published|proved|married|became|built|painted|composed)"
)
_NOT_NAMES = (
    r"(?:The|This|That|These|Those|A|An|In|On|At|It|He|She|We|They|But|And|When|While|After|Before"
    r"|For|From|As|If|His|Her|Its|Their|Our|Today|Yesterday|There|Here|Then|By|To|Of|With|Since)"
)


def _any(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


_ORGANISATION_PATTERNS = (
    rf"{NOT_IN_WORD}(?P<name>{_any(ORGANISATIONS)}){WORD_ENDS}",
    rf"{NOT_IN_WORD}(?!{_NOT_NAMES} )(?P<name>{_NAMES},? (?:{_SUFFIX})){WORD_ENDS}",
    rf"{NOT_IN_WORD}(?P<name>(?:(?!{_NOT_NAMES} ){_WORD} )?{_HEAD} (?:the )?{_NAMES}){WORD_ENDS}",
)
_PLACE_PATTERNS = (
    rf"{NOT_IN_WORD}(?P<name>{_any(PLACES)}){WORD_ENDS}",
    rf"{NOT_IN_WORD}(?:Lake|Mount|River|Cape|Gulf of|Bay of|Strait of) {_WORD}{WORD_ENDS}",
    rf"{NOT_IN_WORD}(?!{_NOT_NAMES} )(?P<name>{_WORD}(?: {_WORD})? (?:River|Mountains?|Ocean|Sea"
    rf"|Islands?|Peninsula|Desert|Valley|Province|County)){WORD_ENDS}",
)
_PERSON_PATTERNS = (
    rf"{NOT_IN_WORD}{_TITLE} (?P<name>(?:{_INITIAL} ?){{0,3}}{_WORD}{_FURTHER}{{0,3}}){WORD_ENDS}",
    rf"{NOT_IN_WORD}(?P<name>(?:{_any(GIVEN_NAMES)}){_FURTHER}{{1,4}}){WORD_ENDS}",
    rf"{NOT_IN_WORD}(?!(?:{_NOT_NAMES}|{_TITLE}) )"
    rf"(?P<name>{_WORD}(?: {_INITIAL})?(?: {_WORD}){{1,2}})(?= {_VERB}{WORD_ENDS})",
)

_PATTERNS = tuple(
    (re.compile(pattern), kind)
    for kind, patterns in (
        (ORG, _ORGANISATION_PATTERNS),
        (LOC, _PLACE_PATTERNS),
        (PERSON, _PERSON_PATTERNS),
    )
    for pattern in patterns
)


def find(text: str) -> Iterator[Span]:
    for pattern, kind in _PATTERNS:
        yield from of_pattern(pattern, kind, text)
