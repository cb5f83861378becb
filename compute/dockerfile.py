"""Which Dockerfiles are built. Pure.

The engine's builder fetches from addresses that a Dockerfile names (ADD), takes over
whatever image it is told to, and reads the file by rules that the file itself may change.
So the file is read here first, the way the engine's classic parser reads it, and refused
wherever the engine could read something else than we do: what is unusual costs its author
a word, what is misread would cost more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from compute import references
from compute.errors import BuildRefused
from compute.models import Image

MOST_BYTES = 64 << 10
MOST_STAGES = 16

Allows = Callable[[Image], bool]

_KNOWN = frozenset(
    {"FROM", "ARG", "ENV", "RUN", "COPY", "CMD", "ENTRYPOINT", "LABEL", "EXPOSE", "VOLUME"}
    | {"USER", "WORKDIR", "SHELL", "STOPSIGNAL", "HEALTHCHECK", "MAINTAINER"}
)
_FLAGS = {
    "COPY": frozenset({"from", "chown"}),
    "HEALTHCHECK": frozenset({"interval", "timeout", "start-period", "retries"}),
}
_OUR_LABELS = "org.oceanprotocol.compute"

_SPACE = " \t"
_SPACES = re.compile(r"[ \t]+")
_CONTINUED = re.compile(r"\\[ \t]*$")
_TWO_BACKSLASHES = re.compile(r"\\\\[ \t]*$")
_DIRECTIVE = re.compile(r"#\s*(syntax|escape)\s*=", re.IGNORECASE)
_HEREDOC = re.compile(r"(?<!<)<<(?!<)")
_PLAIN_FLAG = re.compile(r"--([a-z-]+)=([!#%&(-\[\]-~]*)")
_LEFT_OUT = re.compile(r"[\"'\\]")
_STAGE = re.compile(r"[a-z][a-z0-9_.-]*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its ``word`` in capitals and the ``rest`` of it, from which line
    (counted from 1) to which."""

    word: str
    rest: str
    line: int
    last: int


def decoded(data: bytes) -> str:
    """The text of a Dockerfile. Raises BuildRefused."""
    if len(data) > MOST_BYTES:
        raise BuildRefused(f"The Dockerfile is larger than {MOST_BYTES >> 10} KiB; make it shorter")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BuildRefused("The Dockerfile is not text in UTF-8; save it as that") from None


def check(text: str, allows: Allows) -> tuple[Image, ...]:
    """The images that it builds on or copies from, each allowed by ``allows``.

    Raises BuildRefused, which names the line and how to mend it.
    """
    reading = _Reading(allows)
    for instruction in instructions(text):
        reading.take(instruction)
    if not reading.stages:
        raise BuildRefused("The Dockerfile has no FROM; begin it with FROM and an image")
    return tuple(dict.fromkeys(reading.bases))


def labelled(text: str, key: str, value: str) -> str:
    """The same with a label that all its containers and images carry from each FROM on."""
    lines = text.split("\n")
    for instruction in reversed(instructions(text)):
        if instruction.word == "FROM":
            lines.insert(instruction.last, f"LABEL {key}={value}")
    return "\n".join(lines)


def instructions(text: str) -> list[Instruction]:
    """What the file says, continued lines put together. Raises BuildRefused for what two
    readers might read in two ways."""
    found: list[Instruction] = []
    parts: list[str] = []
    first = 0
    for number, line in _lines(text):
        if line.startswith("#") and not parts and not found:
            _check_directive(number, line)
        if not line or line.startswith("#"):
            continue
        if not parts:
            first = number
        if _TWO_BACKSLASHES.search(line):
            raise _refused(number, "it ends in two backslashes; end it in one or in none")
        body, continued = _CONTINUED.subn("", line)
        parts.append(body)
        if not continued:
            found.append(_instruction("".join(parts), first, number))
            parts = []
    if parts:
        raise _refused(first, "the instruction ends in a backslash; remove it")
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without the white space that says nothing: that before
    the first word or a comment, and a line's whole if there is nothing else.

    White space within an instruction is kept, as it separates words.
    """
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise BuildRefused(f"The Dockerfile is larger than {MOST_BYTES >> 10} KiB; make it shorter")
    continued = False
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r")
        for letter in line:
            if _is_unreadable(letter):
                raise _refused(number, f"it has the character U+{ord(letter):04X}; remove it")
        bare = line.lstrip(_SPACE)
        if not bare or bare.startswith("#"):
            yield number, bare
            continue
        yield number, line if continued else bare
        continued = _CONTINUED.search(line) is not None


def _is_unreadable(letter: str) -> bool:
    """True for what some take for a space, an end of a line or for nothing at all."""
    if letter in _SPACE:
        return False
    return (
        letter.isspace() or letter == "\ufeff" or ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0
    )


def _check_directive(number: int, line: str) -> None:
    if match := _DIRECTIVE.match(line):
        name = match[1].lower()
        raise _refused(number, f"the directive {name} changes how the file is read; remove it")


def _instruction(line: str, first: int, last: int) -> Instruction:
    word, _, rest = _SPACES.sub(" ", line.strip(_SPACE), count=1).partition(" ")
    return Instruction(word.upper(), rest.strip(_SPACE), first, last)


def _refused(line: int, text: str) -> BuildRefused:
    return BuildRefused(f"Dockerfile line {line}: {text}")


def _check_label(line: int, rest: str) -> None:
    """By our labels is found what a build has made, how much it writes among it. The engine
    puts variables into names too, and leaves quotes and backslashes out of them."""
    if "$" in rest:
        raise _refused(line, "a label may not be made of a variable; write its text")
    if _OUR_LABELS in _LEFT_OUT.sub("", rest).lower():
        raise _refused(line, f"labels named {_OUR_LABELS} are ours; choose another name")


@dataclass
class _Reading:
    """What was read so far. ``stages`` are their names, empty for one without; ``with_volume``
    are the numbers of those whose steps would write into a VOLUME."""

    allows: Allows
    stages: list[str] = field(default_factory=list)
    bases: list[Image] = field(default_factory=list)
    with_volume: set[int] = field(default_factory=set)

    def take(self, one: Instruction) -> None:
        self._check_word(one)
        flags, rest = _flags(one)
        if one.word in {"RUN", "COPY"} and _HEREDOC.search(rest):
            raise _refused(one.line, "<< begins a heredoc; COPY a file with that text instead")
        if one.word == "LABEL":
            _check_label(one.line, rest)
        if one.word == "FROM":
            self._begin(one.line, rest)
        if one.word == "VOLUME":
            self.with_volume.add(len(self.stages) - 1)
        if one.word == "RUN" and len(self.stages) - 1 in self.with_volume:
            # Nobody counts what a step writes there.
            raise _refused(one.line, "RUN may not follow a VOLUME; write the VOLUME behind it")
        for value in (value for name, value in flags if name == "from"):
            self._copy(one.line, value)

    def _check_word(self, one: Instruction) -> None:
        if one.word == "ADD":
            raise _refused(one.line, "ADD may fetch from anywhere; use COPY")
        if one.word == "ONBUILD":
            raise _refused(one.line, "ONBUILD is not built here; write what it says itself")
        if one.word not in _KNOWN:
            known = ", ".join(sorted(_KNOWN))
            raise _refused(one.line, f"unknown instruction; write one of {known}")
        if not self.stages and one.word not in {"FROM", "ARG"}:
            raise _refused(one.line, "there is no FROM before it; begin with FROM and an image")

    def _begin(self, line: int, rest: str) -> None:
        words = _SPACES.split(rest)
        named = len(words) == 3 and words[1].lower() == "as"
        if len(words) != 1 and not named:
            raise _refused(line, "write FROM image, or FROM image AS name")
        name = words[2].lower() if named else ""
        if named and (not _STAGE.fullmatch(name) or name == "scratch"):
            raise _refused(line, "a stage's name is a letter, then letters, digits, _ . and -")
        if len(self.stages) == MOST_STAGES:
            raise _refused(line, f"more than {MOST_STAGES} stages; build them in fewer")
        base = words[0]
        if base != "scratch":
            self._build_on(line, base)
        self.stages.append(name)

    def _build_on(self, line: int, base: str) -> None:
        before = {at for at, name in enumerate(self.stages) if name == base.lower()}
        if not before:
            self._use(line, base)
        if before & self.with_volume:
            self.with_volume.add(len(self.stages))

    def _copy(self, line: int, source: str) -> None:
        before = self.stages[:-1]
        if re.fullmatch("[0-9]+", source, re.ASCII):
            if len(source) > 4 or int(source) >= len(before):
                raise _refused(line, "no stage before this one has that number; the first is 0")
        elif source.lower() not in filter(None, before):
            self._use(line, source)

    def _use(self, line: int, name: str) -> None:
        if "$" in name:
            raise _refused(line, "an image may not be named by a variable; write its name")
        image = _image(name)
        if image is None:
            raise _refused(line, "this is not the name of an image; write name:tag")
        if not (image.tag or image.checksum) and _HEX.fullmatch(image.image):
            # The engine looks for an image id that begins so before it looks for a name.
            raise _refused(line, "the image's name could be an image id; write its tag as well")
        if not self.allows(image):
            raise _refused(line, f"the image {name} is not allowed here; take one that is")
        self.bases.append(image)


def _flags(one: Instruction) -> tuple[list[tuple[str, str]], str]:
    """The flags before an instruction's own words, and these words.

    The engine takes quotes, backslashes and some bytes beyond ASCII in there for something
    else than themselves.
    """
    known = _FLAGS.get(one.word, frozenset())
    flags: list[tuple[str, str]] = []
    rest = one.rest
    while rest.startswith("--"):
        word, rest = (*_SPACES.split(rest, maxsplit=1), "")[:2]
        match = _PLAIN_FLAG.fullmatch(word)
        if match is None or match[1] not in known:
            may = " or ".join(f"--{name}=value" for name in sorted(known)) or "no flags"
            raise _refused(
                one.line, f"write {may} after {one.word}, without quotes, backslashes and variables"
            )
        flags.append((match[1], match[2]))
    return flags, rest


def _image(name: str) -> Image | None:
    """The image of this name, None for what is none."""
    rest, at, checksum = name.partition("@")
    path, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        path, colon, tag = rest, "", ""
    if (colon and not _TAG.fullmatch(tag)) or (at and not _CHECKSUM.fullmatch(checksum)):
        return None
    return Image(image=path, tag=tag, checksum=checksum) if references.is_name(path) else None
