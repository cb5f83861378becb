# ruff: noqa: RUF001 (the punctuation is that of Chinese)
"""Organisations, places and persons in Chinese.

Nothing marks where a word begins, so an organisation is found by how it ends and cut where
the words before it are known not to belong to a name; a person by a surname where a name can
begin, and by what follows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .gazetteer import (
    CHINESE_SURNAMES,
    ORGANISATIONS_IN_CHINESE,
    PLACES_IN_CHINESE,
    WORDS_LIKE_CHINESE_NAMES,
)
from .spans import LOC, ORG, PERSON, Span, of_pattern

_HAN = r"[\u4e00-\u9fff]"
_LONGEST_NAME = 16

_ENDS = re.compile(
    r"股份有限公司|有限责任公司|有限公司|集团公司|集团|公司|大学|学院|研究院|研究所|科学院|银行|医院|委员会|协会"
    r"|学会|基金会|法院|检察院|出版社|博物馆|图书馆|实验室|天文台|工厂|中学|小学"
)
_NOT_OF_NAMES = re.compile(
    r"毕业于|就读于|就职于|任职于|任教于|成立于|位于|来自|加入|进入|考入|担任|访问|收购|创办|创建|创立|成立|建立"
    r"|投资|宣布|以及|并在|曾在|先后|当时|今天|昨天|现任|原名|改名|称为|名为|[0-9年月日号在于和与的了由从被把到向是该这那其，]"
)
_JUST_A_KIND = frozenset(
    {"一所", "一家", "这家", "该", "本", "一个", "多所", "多家", "各", "全国", "两所", "几家"}
)


def _any(names: Iterable[str]) -> str:
    return "|".join(sorted(names, key=len, reverse=True))


_KNOWN_ORGANISATIONS = re.compile(_any(ORGANISATIONS_IN_CHINESE))
_KNOWN_PLACES = re.compile(
    rf"(?:{_any(PLACES_IN_CHINESE)})(?:特别行政区|(?:壮族|回族|维吾尔)?自治区|省|市)?(?![人语文菜式])"
)
_BEFORE_PERSON = (
    r"(?:^|(?<=[，。；：、！？（《“\s])|(?<=[和与由向为及])|(?<=教授|院士|博士|先生|女士|医生|总理|总统|主席|作家"
    r"|诗人|画家)|(?<=科学家|物理学|化学家|数学家|工程师|文学家|医学家))"
)
_AFTER_PERSON = (
    r"(?=先生|女士|教授|博士|院士|医生|老师|主席|总统|总理|同志|说|表示|指出|认为|出生|生于|毕业|获得|获|担任|任"
    r"|发现|发明|提出|主持|设计|创作|写|著|曾|于|在|是|和|与|、|，|。|的|等|[0-9（]|$)"
)
_PERSON = re.compile(
    rf"{_BEFORE_PERSON}(?P<name>(?:{_any(CHINESE_SURNAMES)}){_HAN}{{1,2}}?){_AFTER_PERSON}"
)


def find(text: str) -> Iterator[Span]:
    yield from _organisations(text)
    yield from of_pattern(_KNOWN_PLACES, LOC, text)
    for span in of_pattern(_PERSON, PERSON, text):
        if text[span.start : span.end] not in WORDS_LIKE_CHINESE_NAMES:
            yield span


def _organisations(text: str) -> Iterator[Span]:
    yield from of_pattern(_KNOWN_ORGANISATIONS, ORG, text)
    for found in _ENDS.finditer(text):
        start = _beginning(text, found.start())
        name = text[start : found.start()]
        if len(name) >= 2 and name not in _JUST_A_KIND:
            yield Span(start, found.end(), ORG)


def _beginning(text: str, end: int) -> int:
    """Where the name begins that ends here: behind the last thing that is of no name."""
    start = max(0, end - _LONGEST_NAME)
    for index in range(end - 1, start - 1, -1):
        if not re.match(_HAN, text[index]):
            start = index + 1
            break
    for other in _NOT_OF_NAMES.finditer(text, start, end):
        start = other.end()
    return start
