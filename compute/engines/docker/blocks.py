"""An answer's body in blocks, as much at a time as has arrived.

The engine sends each entry of a log in an HTTP chunk of its own. The usual way through
urllib3 costs twenty times as much for each of these as for taking them out of a block, and
hands out tiny parts one by one.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import requests

BLOCK = 64 << 10
_LONGEST_HEAD = 1 << 10


class Unchunked:
    """Takes chunked coding (RFC 9112 §7.1) off, as it arrives. ``done`` after the last
    chunk; trailers are left unread."""

    def __init__(self) -> None:
        self.done = False
        self._rest = b""
        self._left = 0

    def feed(self, block: bytes) -> bytes:
        """The payload in the block. Raises ValueError for what is no such coding."""
        held = self._rest + block
        position, parts = 0, []
        while not self.done and position < len(held):
            if self._left > 2:
                part = held[position : position + self._left - 2]
                parts.append(part)
                self._left -= len(part)
                position += len(part)
            elif self._left:
                passed = min(self._left, len(held) - position)
                self._left -= passed
                position += passed
            else:
                line_end = held.find(b"\r\n", position)
                if line_end < 0:
                    break
                size = int(held[position:line_end].partition(b";")[0], 16)
                position = line_end + 2
                # The line break after the chunk is counted with it.
                self._left, self.done = size + 2, size == 0
        self._rest = held[position:]
        if len(self._rest) > _LONGEST_HEAD and not self.done:
            raise ValueError("no chunked coding")
        return b"".join(parts)


def blocks_of(response: requests.Response) -> Generator[bytes, None, None]:
    """The body of an answer that was asked for with ``stream``, to its end.

    Raises requests.RequestException when it breaks off.
    """
    source = _buffered(response)
    if source is None or not getattr(response.raw, "chunked", False):
        yield from response.iter_content(chunk_size=None)
        return
    coding = Unchunked()
    try:
        while not coding.done:
            block = source.read1(BLOCK)
            if not block:
                raise requests.exceptions.ChunkedEncodingError("The answer broke off")
            if data := coding.feed(block):
                yield data
    except (OSError, ValueError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise requests.exceptions.ConnectionError("The answer broke off") from error


def _buffered(response: requests.Response) -> Any:
    """The buffer below urllib3's and http.client's, as the SDK reaches for the socket."""
    found = getattr(getattr(response.raw, "_fp", None), "fp", None)
    return found if hasattr(found, "read1") else None
