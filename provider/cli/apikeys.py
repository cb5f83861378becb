"""``api-key``: keys of callers without a wallet, and what a configuration holds of them."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from provider.cli.options import Json
from provider.cli.output import EXIT_INTERRUPTED, EXIT_USAGE, leave, print_json, print_line, say

api_key_app = typer.Typer(
    help="Make API keys of the further job APIs (DIALECTS_FILE).", no_args_is_help=True
)

SHORT = 12
"""A secret with fewer characters can be guessed from its hash."""

_MOST_READ = 4096

Name = Annotated[str, typer.Argument(help="What the key is called in the file.")]


@api_key_app.callback()
def _api_key() -> None:
    """Make API keys of the further job APIs (DIALECTS_FILE)."""


@api_key_app.command()
def new(name: Name = "name", as_json: Json = False) -> None:
    """Make a new key and print it; the line for the file goes to stderr.

    The key is kept nowhere: only its hash is in the file.
    """
    from provider import apikeys

    _require_name(name)
    key = apikeys.new_key()
    _tell(name, apikeys.hash_key(key), key, as_json=as_json)


@api_key_app.command("hash")
def hash_own(name: Name = "name", as_json: Json = False) -> None:
    """Read a secret of your own from stdin, without showing it, and print the line for the file.

    Prefer 'api-key new', which makes one that nobody can guess.
    """
    from provider import apikeys

    _require_name(name)
    secret = _read_secret()
    if secret != secret.strip() or not secret.isprintable():
        leave("The secret begins or ends with a space, or has control characters.", EXIT_USAGE)
    try:
        hashed = apikeys.hash_key(secret)
    except ValueError as error:
        leave(f"This cannot be a key: {error}.", EXIT_USAGE)
    if len(secret) < SHORT:
        say(f"This secret is short: whoever has the file can guess it. Take {SHORT} characters.")
    _tell(name, hashed, None, as_json=as_json)


def _require_name(name: str) -> None:
    from provider.apikeys import KEY_NAME

    if not KEY_NAME.fullmatch(name):
        leave("A name has letters, digits, '.', '_' and '-', at most 64.", EXIT_USAGE)


def _read_secret() -> str:
    """One line, shown to nobody; at a terminal twice, since nobody sees a slip."""
    if not sys.stdin.isatty():
        raw = sys.stdin.buffer.readline(_MOST_READ)
        try:
            return raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            leave("The secret is not UTF-8 text.", EXIT_USAGE)
    try:
        secret = getpass.getpass("Secret: ")
        again = getpass.getpass("Once more: ")
    except (EOFError, KeyboardInterrupt):
        leave("Interrupted.", EXIT_INTERRUPTED)
    if secret != again:
        leave("These are two different secrets.", EXIT_USAGE)
    return secret


def _tell(name: str, hashed: str, key: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, **({"key": key} if key else {}), "hash": hashed})
        return
    line = f'{name}: "{hashed}"'
    if key is None:
        print_line(line)
        return
    print_line(key)
    say(f"The line for its dialect's keys in the file of DIALECTS_FILE:\n{line}")
