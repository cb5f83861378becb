"""The encoding of values by the contract ABI, as eth-abi does it.

Loading eth-abi takes a tenth of a second and six megabytes, which a service without a chain
does without: it is imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def decode(types: Iterable[str], data: bytes) -> tuple[Any, ...]:
    """The values that ``data`` holds. Raises ValueError for what is not of these types, and
    OverflowError for what is out of all bounds."""
    from eth_abi import abi
    from eth_abi.exceptions import DecodingError

    try:
        return abi.decode(list(types), data)
    except DecodingError as error:
        raise ValueError(str(error)) from None


def encode(types: Iterable[str], values: Sequence[Any]) -> bytes:
    """The bytes of ``values``. Raises ValueError, TypeError or OverflowError for what these
    types cannot hold."""
    from eth_abi import abi
    from eth_abi.exceptions import EncodingError

    try:
        return abi.encode(list(types), values)
    except EncodingError as error:
        raise ValueError(str(error)) from None
