"""The upper floor: who may run what.

HTTP, wallets, assets and dialects. Everything a request may cause goes through
:mod:`provider.jobs` and from there through the one door of :mod:`compute.operator`.
"""

from compute import __version__

__all__ = ["__version__"]
