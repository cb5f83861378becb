"""What another provider answers, read with suspicion. Pure.

Names are made safe, numbers and digests checked, paths kept on the provider's own origin,
and the text of a refusal loses everything that looks like an address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from compute.errors import InputUnavailable
from provider import bounded_json
from provider.assets.origins.base import file_name

MAX_FILES = 1000
MAX_TOLD = 200
RUBBISH = "The other provider of this asset gave an answer that cannot be read."

_PATH = re.compile(r"/(?!/)[!-~]{0,500}")
_SHA256 = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_ADDRESS_OF_SOMETHING = re.compile(r"\w+://\S+")


@dataclass(frozen=True, slots=True)
class RemoteFileInfo:
    """What a provider tells of a file: ``size`` in bytes and ``sha256`` (lower-case
    hexadecimal) where it tells them, ``name`` is safe and may be empty."""

    name: str
    size: int | None
    sha256: str | None
    content_type: str = ""


def json_value(body: bytes) -> Any:
    try:
        return bounded_json.loads(body, max_parts=bounded_json.MAX_PARTS)
    except ValueError:
        pass
    raise InputUnavailable(RUBBISH)


def json_object(body: bytes) -> dict[str, Any]:
    answer = json_value(body)
    if not isinstance(answer, dict):
        raise InputUnavailable(RUBBISH)
    return answer


def paths(raw: object) -> dict[str, str]:
    """Of names with method and path, the paths that stay on the provider."""
    listed = raw.items() if isinstance(raw, dict) else ()
    return {
        name.lower(): pair[1]
        for name, pair in listed
        if isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[1], str)
        and _PATH.fullmatch(pair[1])
    }


def file_infos(body: bytes) -> list[RemoteFileInfo]:
    """The answer of ``fileinfo``. Raises InputUnavailable, also for a file that is not valid."""
    answer = json_value(body)
    if not isinstance(answer, list) or not 0 < len(answer) <= MAX_FILES:
        raise InputUnavailable(RUBBISH)
    return [_file_info(index, each) for index, each in enumerate(answer)]


def _file_info(index: int, raw: object) -> RemoteFileInfo:
    if not isinstance(raw, dict) or raw.get("valid") is not True:
        raise InputUnavailable(
            f"The other provider of this asset cannot reach file {index}.", temporary=True
        )
    name = raw.get("filename") or raw.get("name")
    size = str(raw.get("contentLength", ""))
    digest = _SHA256.fullmatch(str(raw.get("checksum", "")))
    content_type = raw.get("contentType")
    return RemoteFileInfo(
        name=file_name(name) if isinstance(name, str) and name else "",
        size=int(size) if size.isascii() and size.isdigit() and len(size) < 19 else None,
        sha256=digest[1].lower() if digest else None,
        content_type=content_type[:200] if isinstance(content_type, str) else "",
    )


def refusal(status: int, body: bytes) -> str:
    """What a refusal says, shortened and without any address."""
    try:
        answer = bounded_json.loads(body, max_parts=1000)
    except ValueError:
        answer = None
    told = answer.get("error") if isinstance(answer, dict) else None
    text = f"The other provider of this asset refused ({status})."
    if not isinstance(told, str):
        return text
    plain = "".join(each if each.isprintable() else " " for each in told[: 4 * MAX_TOLD])
    return f"{text} It said: {_ADDRESS_OF_SOMETHING.sub('(address)', plain)[:MAX_TOLD]}"
