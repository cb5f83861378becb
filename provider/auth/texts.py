"""A plain text that a wallet has signed, and the nonces it can be read with.

Parts of a text stand side by side, so digits before the nonce may be taken for its
beginning: index 1 and nonce 25 make the text of index 12 and nonce 5, and of a stop with
nonce 125. Whatever the reading, its nonce is made of the last digits of the text. So one
number bounds them all: the greatest nonce that the last digits can say (``reach``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from provider.auth.signatures import personal_digest

LARGEST_NONCE = 2**63 - 1
"""What a row of the table holds. In nanoseconds this is the year 2262."""

_LAST_DIGITS = re.compile(r"[0-9]*\Z", re.ASCII)
_MOST_DIGITS = len(str(LARGEST_NONCE))


@dataclass(frozen=True, slots=True)
class SignedText:
    """``digest`` is what was signed; ``reach`` no reading's nonce is greater than."""

    digest: bytes = field(repr=False)
    reach: int

    @classmethod
    def of(cls, text: str) -> SignedText:
        """Raises SignatureMalformed for a text that has no bytes."""
        return cls(personal_digest(text), reach(text))

    def ambiguous(self, nonce: int) -> bool:
        """Whether the text still says an unused nonce once ``nonce`` is used up."""
        return self.reach > nonce


def reach(text: str) -> int:
    """The greatest nonce that a row can hold and that ``text`` can be read to end with; 0
    where it ends with no digit."""
    [digits] = _LAST_DIGITS.findall(text[-_MOST_DIGITS:])[:1]
    number = int(digits or 0)
    return number if number <= LARGEST_NONCE else int(digits[1:])
