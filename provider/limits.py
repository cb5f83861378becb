"""How often somebody may ask: by address before anything is looked at, by wallet or key after.

Token buckets: so many requests a second, and some seconds' worth at once. The buckets are in
this process's memory, so each of several `serve` processes has its own, and there are at most
``MOST_BUCKETS`` of a kind; who has not asked for longest is forgotten first.

A request whose signature or key is wrong has cost far more than it was worth, so it takes
``FAILURE_COST`` of its address's bucket, which the next request is measured by before anything is
computed for it. So does what leaves a trace for ever without doing anything.

Clients on this machine are not limited by address: what stands at the loopback is either the
operator or a reverse proxy with the whole world behind it. The second has to be named in
``TRUSTED_PROXIES``, and the log says so when one shows that is not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from aiohttp import web

from provider.addresses import (
    client_address,
    is_by_trusted_proxy,
    is_direct,
    is_hidden,
    is_loopback,
    is_private,
    neighbourhood,
    region,
)
from provider.errors import (
    KeyWrong,
    SignatureMalformed,
    SignatureWrong,
    TokenInvalid,
    TooManyRequests,
)
from provider.telling import Told

log = logging.getLogger(__name__)

BURST_S: Final = 10.0
"""So many seconds' worth of requests may come at once."""

FAILURE_COST: Final = 20.0
REGION_SHARE: Final = 8.0
"""How many times what one address may is let through to one region of IPv6: who has a whole
one has as many addresses as he likes."""

MOST_BUCKETS: Final = 1 << 16
_LONGEST_DEBT: Final = 3.0
"""In bursts: failures never shut somebody out for longer than so much."""

_FAILURES = (KeyWrong, SignatureMalformed, SignatureWrong, TokenInvalid)

Limit = Callable[[str, bool], None]
"""Counts a request of this wallet; True if what proves it may be the copy of another one's.
Raises TooManyRequests."""


def unlimited(wallet: str, again: bool) -> None:
    """For who asks as often as he likes."""


class Buckets:
    """One bucket a key. ``rate`` tokens a second flow in, ``burst`` fit in; ``now`` is a
    clock that never goes back, in seconds."""

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        now: Callable[[], float],
        most: int = MOST_BUCKETS,
    ) -> None:
        self._token_s = 1 / rate
        self._burst_s = burst / rate
        self._now = now
        self._most = most
        # When each will be full again; a dictionary keeps its order, the latest used last.
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> float:
        """Take a token: 0. Where there is none, nothing happens: the seconds until there is."""
        now = self._now()
        full_at = max(self._full_at.pop(key, now), now)
        wait = full_at + self._token_s - now - self._burst_s
        self._keep(key, full_at if wait > 0 else full_at + self._token_s)
        return max(0.0, wait)

    def charge(self, key: str, tokens: float) -> None:
        """Take so many tokens whether they are there or not."""
        now = self._now()
        full_at = max(self._full_at.pop(key, now), now) + tokens * self._token_s
        self._keep(key, min(full_at, now + _LONGEST_DEBT * self._burst_s))

    def _keep(self, key: str, full_at: float) -> None:
        if len(self._full_at) >= self._most:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[key] = full_at


class Limiter:
    """Limits of requests a second, 0 for none. ``now`` as for :class:`Buckets`."""

    def __init__(
        self, *, per_address: float, per_wallet: float, now: Callable[[], float] | None = None
    ) -> None:
        # Not the event loop's: to ask which one runs is a call of the kernel each time.
        now = now or time.monotonic
        self._addresses = _buckets(per_address, now)
        self._regions = _buckets(per_address * REGION_SHARE, now)
        self._wallets = _buckets(per_wallet, now)
        self._told = Told(now, log)
        self._told_of_proxy = Told(now, log)
        self._asking: ContextVar[web.BaseRequest | None] = ContextVar("asking", default=None)

    def admit(self, request: web.BaseRequest) -> None:
        """Count a request of its client's address. Raises TooManyRequests."""
        self._asking.set(request)
        if self._addresses is None:
            return
        address = client_address(request)
        if not _is_limited(address) and not is_hidden(request):
            self._look_for_a_proxy(request)
            return
        wait = self._addresses.take(neighbourhood(address))
        if not wait and self._regions is not None and ":" in address:
            wait = self._regions.take(region(address))
        if wait:
            self._look_for_a_proxy(request)
            self._told.count("requests_limited by=address client=%s", address)
            raise TooManyRequests(wait)

    def admit_wallet(self, name: str, again: bool = False) -> None:
        """Count a request of a wallet, or of a key, that is known to be its own. One that was
        made before, so that anybody who saw it can make it ``again``, counts for the wallet at
        this client's address alone: a stranger's copies leave the wallet its requests.
        Clients that speak to us directly on this machine have no limit. Raises
        TooManyRequests."""
        if self._wallets is None:
            return
        request = self._asking.get()
        at = neighbourhood(client_address(request)) if again and request is not None else ""
        wait = self._wallets.take(f"{name} {at}" if at else name)
        if not wait:
            return
        if request is not None and _is_of_this_machine(request):
            return
        self._told.count("requests_limited by=wallet wallet=%s", name)
        raise TooManyRequests(wait)

    def failed(self, request: web.BaseRequest, error: Exception) -> None:
        """Charge the address for what made no sense and was dear to find out."""
        if isinstance(error, _FAILURES):
            self._charge(request)

    def left_a_trace(self) -> None:
        """Charge the address for what is kept for ever, a record and a nonce, of a request that
        any new wallet may make and that does nothing."""
        request = self._asking.get()
        if request is not None:
            self._charge(request)

    def _charge(self, request: web.BaseRequest) -> None:
        if self._addresses is None:
            return
        address = client_address(request)
        if _is_limited(address) or is_hidden(request):
            self._addresses.charge(neighbourhood(address), FAILURE_COST)
            if self._regions is not None and ":" in address:
                self._regions.charge(region(address), FAILURE_COST)

    def _look_for_a_proxy(self, request: web.BaseRequest) -> None:
        """For one on this machine, or of a network that is not public."""
        if "X-Forwarded-For" in request.headers and _is_private(request, client_address(request)):
            self._told_of_proxy.count(
                "proxy_not_trusted peer=%s setting=TRUSTED_PROXIES", request.remote
            )


LIMITER = web.AppKey("limiter", Limiter)


def _buckets(rate: float, now: Callable[[], float]) -> Buckets | None:
    return Buckets(rate, max(1.0, rate * BURST_S), now=now) if rate > 0 else None


def _is_limited(address: str) -> bool:
    """Nearly all are told by how they are spelt."""
    if not address or address.startswith("127.") or address == "::1":
        return False
    return not (address.startswith("::") and is_loopback(address))


def _is_private(request: web.BaseRequest, client: str) -> bool:
    """Whether the connection itself, which nobody is trusted to forward, is from inside. A
    trusted proxy may itself be the client, as its headers tell: nothing is amiss then."""
    peer = request.remote or ""
    return client == peer and is_private(peer) and not is_by_trusted_proxy(request)


def _is_of_this_machine(request: web.BaseRequest) -> bool:
    return not _is_limited(client_address(request)) and is_direct(request)
