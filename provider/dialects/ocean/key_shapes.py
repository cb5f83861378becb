"""How public keys are written on the wire, as types: read for the API's description alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

PublicKey = Annotated[
    str,
    Field(
        pattern="^(0x)?(0[23][0-9a-fA-F]{64}|(04)?[0-9a-fA-F]{128})$",
        examples=["0x0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"],
    ),
]
