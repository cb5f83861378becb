"""The ground floor: how a job runs.

Knows environments, jobs, engines and the store. Knows no HTTP request, wallet,
chain or DID resolver; what it needs from above (the bytes of an input) comes in
through :mod:`compute.supply`.
"""

__version__ = "0.1.0"
