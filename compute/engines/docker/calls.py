"""Runs the synchronous SDK in threads, so that the event loop never waits for the engine.

Short calls share a bounded pool: more than a few in flight only add latency, since the
engine itself is the limit. What lasts as long as somebody else pleases (a pull, the
stream of events) gets a thread of its own and an :class:`Answer` that can be cut off, so
that it neither fills the pool nor outlives the task that waits for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import TypeVar
from urllib.parse import quote

import requests
from docker import APIClient
from docker.constants import MINIMUM_DOCKER_API_VERSION
from docker.errors import APIError, create_api_error_from_http_exception
from docker.types import CancellableStream
from docker.utils import parse_host

from compute.engines.docker.blocks import blocks_of
from compute.engines.docker.errors import SILENT, translated, wants_other_version
from compute.engines.docker.transport import UNIX, SocketClient
from compute.errors import EngineUnavailable

T = TypeVar("T")

CONNECT_S = 5.0
CALL_S = 60
LEAVE_S = 10.0


class CutOff(Exception):
    """The reader of an answer was told to give up."""


class Answer:
    """An answer that is read as it comes and that any thread may cut off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._response: requests.Response | None = None
        self._cut = threading.Event()

    @property
    def is_cut(self) -> bool:
        return self._cut.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until it is cut off, at most ``seconds``. True when it is."""
        return self._cut.wait(seconds)

    def attach(self, response: requests.Response) -> None:
        """Remember what to cut. Raises CutOff when that was asked for already."""
        with self._lock:
            self._response = response
            if self._cut.is_set():
                response.close()
                raise CutOff

    def cut(self) -> None:
        """Make the reader stop. Repeating it does nothing."""
        with self._lock:
            self._cut.set()
            if self._response is not None:
                with suppress(AttributeError, OSError):
                    CancellableStream(iter(()), self._response).close()

    def lines(self, response: requests.Response) -> Iterator[bytes]:
        """The lines of a response. Raises CutOff as soon as it is cut off."""
        return self._parts(response, response.iter_lines(chunk_size=None))

    def blocks(self, response: requests.Response) -> Generator[bytes, None, None]:
        """A response as it arrives, in blocks (see :mod:`compute.engines.docker.blocks`).
        Raises CutOff as soon as it is cut off."""
        return self._parts(response, blocks_of(response))

    def _parts(
        self, response: requests.Response, parts: Iterator[bytes]
    ) -> Generator[bytes, None, None]:
        self.attach(response)
        try:
            for part in parts:
                if self.is_cut:
                    raise CutOff
                if part:
                    yield part
        except (requests.RequestException, OSError, AttributeError, ValueError):
            if self.is_cut:
                raise CutOff from None
            raise
        finally:
            response.close()


class Calls:
    """The way to one engine. Clients are built on first use and survive its absence."""

    def __init__(self, base_url: str | None, threads: int) -> None:
        self._base_url = base_url
        self._threads = threads
        self._version: str | None = None
        self._shared: APIClient | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._building = threading.Lock()

    def open(self) -> None:
        """Have threads. Talks to nobody."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="docker-call")

    async def close(self) -> None:
        """Give up what waits, let what runs end (but not wait long), drop the connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await alone(lambda: pool.shutdown(wait=True), name="docker-close")
        with self._building:
            client, self._shared = self._shared, None
        if client is not None:
            client.close()

    async def run(self, work: Callable[[APIClient], T]) -> T:
        """Do ``work`` in the pool. A cancelled caller leaves it to end by itself."""
        if self._pool is None:
            raise EngineUnavailable("The container engine is not connected")
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, copy_context().run, self._guarded, work
        )

    def fresh(self) -> APIClient:
        """A client of one's own, which has read the present registry credentials."""
        with translated():
            return self._build()

    def forget_version(self) -> None:
        """Agree on a version anew at the next use."""
        with self._building:
            self._version, self._shared = None, None

    def _guarded(self, work: Callable[[APIClient], T]) -> T:
        with translated():
            try:
                return work(self._client())
            except APIError as error:
                if wants_other_version(error):
                    self.forget_version()
                    raise EngineUnavailable(SILENT) from error
                raise

    def _client(self) -> APIClient:
        with self._building:
            if self._shared is None:
                self._shared = self._build()
            return self._shared

    def _build(self) -> APIClient:
        """A client pinned to the version that was agreed on at the first contact."""
        if self._version is None:
            with self._client_of(MINIMUM_DOCKER_API_VERSION) as probe:
                self._version = str(probe.version(api_version=False)["ApiVersion"])
        return self._client_of(self._version)

    def _client_of(self, version: str) -> APIClient:
        address = str(parse_host(self._base_url))
        if address.startswith(UNIX):
            return SocketClient(
                address, version=version, timeout=CALL_S, max_pool_size=self._threads
            )
        return APIClient(
            self._base_url, version=version, timeout=CALL_S, max_pool_size=self._threads
        )


def request(
    client: APIClient,
    method: str,
    path: str,
    *,
    params: Mapping[str, str],
    silence_s: float,
    headers: Mapping[str, str | bytes] | None = None,
    body: Iterator[bytes] | None = None,
) -> requests.Response:
    """Ask for an answer that is read as it comes; ``silence_s`` is the longest pause in it.

    ``body`` is sent as it comes, too. Unlike the SDK's own streams this one has a time-out.
    Raises docker.errors.APIError.
    """
    response = client.request(
        method,
        f"{client.base_url}/v{client.api_version}{quote(path)}",
        params=dict(params),
        headers=dict(headers or {}),
        data=body,
        stream=True,
        # Until the answer begins the first of these also bounds each pause in sending.
        timeout=(CONNECT_S if body is None else CALL_S, silence_s),
    )
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        with response:
            create_api_error_from_http_exception(error)
    return response


async def alone(work: Callable[[], T], *, name: str, answer: Answer | None = None) -> T:
    """Do ``work`` in a thread of its own; cut ``answer`` off when the caller is cancelled."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            failure = error
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failure)

    thread = threading.Thread(target=copy_context().run, args=(body,), name=name, daemon=True)
    thread.start()
    try:
        return await done
    except asyncio.CancelledError:
        if answer is not None:
            answer.cut()
        raise
    finally:
        if not done.cancelled():
            # It has nothing more to do than to return.
            thread.join()


class Turns:
    """One holder at a time for each name, held by the thread that works.

    A task that is cancelled leaves its thread at work; whoever comes next for the same
    container must wait for that thread, not for the task.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def holding(self, name: str) -> Iterator[None]:
        with self._guard:
            lock, users = self._locks.get(name, (threading.Lock(), 0))
            self._locks[name] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._locks[name]
                if users == 1:
                    del self._locks[name]
                else:
                    self._locks[name] = (lock, users - 1)
