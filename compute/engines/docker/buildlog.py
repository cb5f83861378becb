"""What the builder says while it builds: JSON, a message a line."""

from __future__ import annotations

import json
import re

from compute.engines.docker.errors import public_text
from compute.errors import BuildRefused

MOST_PRINTED = 64 << 20
"""Nobody reads more, and each byte takes its way through the engine and this process."""

KILLED = 137

_COMMAND = re.compile(r"The command '.*' returned a non-zero code: (\d+)\s*", re.DOTALL)
_DISK_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_REGISTRY = re.compile(
    r"pull access denied|manifest (?:unknown|for )|no matching manifest|\bdial (?:tcp|udp)\b"
    r"|registry|https?://|request canceled|lookup ",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_UNPRINTABLE = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in {9, 10}}


def failure(words: str) -> str:
    """What the builder's last words mean, for the public."""
    if match := _COMMAND.fullmatch(words):
        code = int(match[1])
        killed = ": it was killed, as happens for want of memory" if code == KILLED else ""
        return f"A command of the Dockerfile ended with exit code {code}{killed}"
    if _DISK_FULL.search(words):
        return "There is no disk space left for the build"
    if _REGISTRY.search(words):
        return "An image that the Dockerfile names is not here and cannot be pulled"
    return f"The engine does not build it: {public_text(words)}"


class BuildLog:
    """The newest ``limit`` bytes of what was printed, and the image once there is one."""

    def __init__(self, limit: int) -> None:
        self.image_id = ""
        self._limit = max(0, limit)
        self._kept = bytearray()
        self._printed = 0

    @property
    def prints_too_much(self) -> bool:
        return self._printed > MOST_PRINTED

    def take(self, line: bytes) -> None:
        """Read a message. Raises BuildRefused when it says that the build failed."""
        try:
            message = json.loads(line)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        self._print(str(message.get("stream") or ""))
        aux = message.get("aux")
        if isinstance(aux, dict) and aux.get("ID"):
            self.image_id = str(aux["ID"])
        if message.get("error"):
            raise self.refused(failure(str(message["error"])))

    def refused(self, text: str) -> BuildRefused:
        """The refusal, with the end of what was printed."""
        newest = bytes(self._kept[max(0, len(self._kept) - self._limit) :])
        shown = _COLOUR.sub("", newest.decode(errors="ignore")).translate(_UNPRINTABLE)
        return BuildRefused(text, output=shown)

    def _print(self, text: str) -> None:
        data = text.encode(errors="replace")
        self._printed += len(data)
        self._kept += data
        if len(self._kept) > 2 * self._limit:
            del self._kept[: len(self._kept) - self._limit]
