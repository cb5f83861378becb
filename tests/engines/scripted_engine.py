"""A stand-in for the daemon at the level of its wire: fixed answers, recorded questions."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote


@dataclass(frozen=True)
class Question:
    line: str
    headers: dict[str, str]


class ScriptedEngine:
    """Answers by the first route whose pattern is found in the request line.

    A body of bytes is sent as it is, in chunks, anything else as JSON. A status of 0
    hangs up. The question for the version is always answered.
    """

    def __init__(self, path: Path, *routes: tuple[str, int, object]) -> None:
        self.path = path
        self.routes = [("/version", 200, {"ApiVersion": "1.41"}), *routes]
        self.questions: list[Question] = []

    async def __aenter__(self) -> ScriptedEngine:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def asked(self, pattern: str) -> list[Question]:
        return [question for question in self.questions if re.search(pattern, question.line)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = unquote((await reader.readline()).decode().strip())
        headers = {}
        while text := (await reader.readline()).decode().strip():
            name, _, value = text.partition(": ")
            headers[name.lower()] = value
        self.questions.append(Question(line, headers))
        for pattern, status, body in self.routes:
            if re.search(pattern, line):
                if status:
                    writer.write(answer(status, body))
                break
        writer.close()


def answer(status: int, body: object) -> bytes:
    """One whole HTTP answer."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
    if isinstance(body, bytes):
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body, b""))
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks
    data = json.dumps(body).encode()
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
