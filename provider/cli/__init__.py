"""The command line ``ocean-compute``.

Only the command that runs imports what it needs, so that help and mistakes are quick.
"""

from provider.cli.commands import app


def main() -> None:
    """Run the command line and exit with its code."""
    app(prog_name="ocean-compute")


__all__ = ["main"]
