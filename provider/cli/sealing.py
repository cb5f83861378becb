"""Encrypted results: the options about them, and ``decrypt``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provider.cli.output import print_json, print_line

if TYPE_CHECKING:
    from provider.client import ComputeClient
    from provider.client.opening import Opening

Encrypt = Annotated[
    bool,
    typer.Option("--encrypt", help="Have results and logs encrypted to this wallet's own key."),
]
EncryptTo = Annotated[
    str,
    typer.Option(
        "--encrypt-to",
        help="Have results and logs encrypted to this public key (secp256k1, hexadecimal).",
        metavar="HEX",
    ),
]
Decrypt = Annotated[bool, typer.Option("--decrypt", help="Open encrypted results.")]
DecryptKey = Annotated[
    str,
    typer.Option(
        "--decrypt-key",
        help="The file of the private key that opens them; the wallet's own if left out.",
        metavar="FILE",
    ),
]
KeepSealed = Annotated[
    bool, typer.Option("--keep-sealed", help="Leave the encrypted files beside the opened ones.")
]
Sealed = Annotated[Path, typer.Argument(metavar="FILE", help="An encrypted result.")]
OpeningKey = Annotated[
    str,
    typer.Option(
        "--key",
        envvar="OCEAN_COMPUTE_KEY",
        help="The file of the private key that it was encrypted to.",
        metavar="FILE",
    ),
]
To = Annotated[
    Path | None,
    typer.Option(
        "--to", "-o", help="File, or folder that exists; beside FILE if left out.", metavar="PATH"
    ),
]


def wanted_key(client: ComputeClient, encrypt_to: str, *, encrypt: bool) -> str:
    """The public key that the options of ``start`` mean, empty for none. Raises
    ClientUsageError."""
    from provider.auth.publickeys import normal_public_key
    from provider.client.errors import ClientUsageError

    if encrypt and encrypt_to:
        raise ClientUsageError("Choose one of --encrypt and --encrypt-to.")
    if encrypt:
        return client.public_key
    try:
        return normal_public_key(encrypt_to) if encrypt_to else ""
    except ValueError:
        raise ClientUsageError(
            "--encrypt-to wants a public key of secp256k1: 33, 64 or 65 bytes in hexadecimal."
        ) from None


def opening(
    key: str, decrypt_key: str = "", *, decrypt: bool, keep_sealed: bool = False
) -> Opening | None:
    """How results are to be opened that are brought, None where they are not. Raises
    ClientUsageError."""
    from provider.client.errors import ClientUsageError
    from provider.client.opening import Opening

    if decrypt:
        return Opening.with_key(decrypt_key or key, keep_sealed=keep_sealed)
    if decrypt_key or keep_sealed:
        raise ClientUsageError("--decrypt-key and --keep-sealed go with --decrypt.")
    return None


def decrypt(
    file: Sealed,
    key: OpeningKey,
    to: To = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Open an encrypted result that is on disk already; prints the path of what was in it."""
    from provider.cli.actions import run

    async def work() -> Path:
        return await _opened(file, key, to, overwrite=overwrite)

    path = run(work)
    if as_json:
        print_json([str(path)])
    else:
        print_line(str(path))


async def _opened(file: Path, key: str, to: Path | None, *, overwrite: bool) -> Path:
    from provider.client.errors import ClientUsageError
    from provider.client.opening import clear_name, open_file
    from provider.client.wallet import private_key_of

    target = to or file.with_name(clear_name(file.name))
    if target.is_dir():
        target = target / clear_name(file.name)
    if target.absolute() == file.absolute():
        raise ClientUsageError("What is in the file needs another name: give one with --to.")
    return open_file(file, target, private_key_of(key), overwrite=overwrite)
