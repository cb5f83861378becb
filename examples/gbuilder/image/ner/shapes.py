# ruff: noqa: RUF001 (the punctuation is that of Chinese as well)
"""Dates, sums of money, percentages, addresses: what is known by its shape."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .spans import DATE, EMAIL, MONEY, NOT_IN_WORD, PERCENT, URL, WORD_ENDS, Span, of_pattern

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?)"
)
_DAY = r"(?:3[01]|[12][0-9]|0?[1-9])(?:st|nd|rd|th)?"
_YEAR = r"(?:1[0-9]|20)[0-9]{2}"
_HAN_DIGITS = "〇零一二三四五六七八九"
_HAN_NUMBER = rf"[{_HAN_DIGITS}十百千万亿两]{{1,12}}"
_NUMBER = r"[0-9]{1,3}(?:,[0-9]{3}){1,6}(?:\.[0-9]{1,6})?|[0-9]{1,15}(?:\.[0-9]{1,6})?"
_LARGE = r"(?:thousand|million|billion|trillion|bn|[kKmM])"
_UNIT = (
    r"(?:(?:US|Canadian|Australian|Hong Kong) dollars?|dollars?|euros?|pounds?(?: sterling)?|yuan"
    r"|renminbi|yen|rupees?|(?:Swedish |Danish )?(?:kronor|kroner|crowns?)|francs?|cents?"
    r"|USD|EUR|GBP|CNY|RMB|JPY|CHF|HKD)"
)
_HAN_UNIT = r"(?:人民币|美元|欧元|英镑|日元|港元|法郎|卢布|元)"

_DATES = (
    rf"{NOT_IN_WORD}{_DAY}(?: of)? {_MONTH},? {_YEAR}{WORD_ENDS}",
    rf"{NOT_IN_WORD}{_MONTH} {_DAY},? {_YEAR}{WORD_ENDS}",
    rf"{NOT_IN_WORD}{_DAY} {_MONTH}{WORD_ENDS}",
    rf"{NOT_IN_WORD}{_MONTH} (?:{_YEAR}|{_DAY}){WORD_ENDS}",
    rf"{NOT_IN_WORD}{_YEAR}[-/.](?:1[0-2]|0?[1-9])[-/.](?:3[01]|[12][0-9]|0?[1-9]){WORD_ENDS}",
    rf"{NOT_IN_WORD}(?:3[01]|[12][0-9]|0?[1-9])[/.](?:1[0-2]|0?[1-9])[/.]{_YEAR}{WORD_ENDS}",
    rf"(?<=[Ii]n )(?P<name>{_YEAR}){WORD_ENDS}(?!,[0-9])",
    rf"(?:(?<=[Ss]ince )|(?<=[Uu]ntil )|(?<=[Bb]y )|(?<=[Ff]rom ))(?P<name>{_YEAR}){WORD_ENDS}",
    r"(?<![0-9])(?:公元前?)?[0-9]{1,4}年(?:[0-9]{1,2}月(?:[0-9]{1,2}[日号])?)?(?![代间级制])",
    r"(?<![0-9])[0-9]{1,2}月[0-9]{1,2}[日号]",
    rf"[{_HAN_DIGITS}]{{4}}年(?:[一二三四五六七八九十]{{1,2}}月"
    r"(?:[一二三四五六七八九十]{1,3}[日号])?)?",
)
_SUMS = (
    rf"(?:{NOT_IN_WORD}(?:US|HK|A|C))?[$€£¥￥] ?(?:{_NUMBER})(?: ?{_LARGE}{WORD_ENDS})?",
    rf"{NOT_IN_WORD}(?:{_NUMBER})(?: {_LARGE})? {_UNIT}{WORD_ENDS}",
    rf"{NOT_IN_WORD}(?:USD|EUR|GBP|CNY|RMB|JPY|CHF|HKD) ?(?:{_NUMBER})(?: ?{_LARGE}{WORD_ENDS})?",
    rf"(?:人民币)?(?<![0-9.])(?:{_NUMBER})[十百千万亿]{{0,3}}余?{_HAN_UNIT}(?:人民币)?",
    rf"(?:人民币)?{_HAN_NUMBER}{_HAN_UNIT}(?!素|旦|宵|件|月|年|帅|首)",
)
_SHARES = (
    rf"{NOT_IN_WORD}(?:{_NUMBER}) ?(?:%|％|per ?cent{WORD_ENDS})",
    rf"百分之{_HAN_NUMBER}(?:点{_HAN_NUMBER})?",
)
_EMAIL = (
    rf"{NOT_IN_WORD}[A-Za-z0-9][A-Za-z0-9._%+-]{{0,63}}@(?:[A-Za-z0-9-]{{1,63}}\.){{1,8}}"
    r"[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_ADDRESS = r"""https?://[^\s<>"'，。；、）】」]{0,2000}[^\s<>"'，。；、）】」.,;:!?)\]]"""

_PATTERNS = tuple(
    (re.compile(pattern), kind)
    for kind, patterns in (
        (URL, (_ADDRESS,)),
        (EMAIL, (_EMAIL,)),
        (DATE, _DATES),
        (MONEY, _SUMS),
        (PERCENT, _SHARES),
    )
    for pattern in patterns
)


def find(text: str) -> Iterator[Span]:
    for pattern, kind in _PATTERNS:
        yield from of_pattern(pattern, kind, text)
