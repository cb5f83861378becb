"""Options and arguments that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Url = Annotated[
    str,
    typer.Option("--url", envvar="OCEAN_COMPUTE_URL", help="The provider's URL."),
]
Key = Annotated[
    str,
    typer.Option(
        "--key",
        envvar="OCEAN_COMPUTE_KEY",
        help="The file of the wallet's private key (see 'key new').",
        metavar="FILE",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines, to stdout only.")]
Typed = Annotated[bool, typer.Option("--typed", help="Sign the stricter EIP-712 form of requests.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
Image = Annotated[str, typer.Option(help="Container image for an algorithm file.")]
Tag = Annotated[str, typer.Option(help="Tag of the image.")]
Checksum = Annotated[str, typer.Option(help="Digest of the image, sha256:….")]
Entrypoint = Annotated[
    str, typer.Option(help="Command line; $ALGO is the file. Chosen by suffix if left out.")
]
CustomData = Annotated[
    str, typer.Option(help="Data that the algorithm finds as a file: JSON or @file.")
]
