"""A file's bytes from the disk to a connection without a way through this process.

uvloop has no ``sendfile``, and asyncio's own reads the disk on the event loop. Here threads
send, for as long as the client takes what comes; one that must be waited for is waited for
on the event loop and keeps no thread.

The socket is used under a descriptor of its own, since event loops do not let that of a
transport be watched. So what the transport still holds has to go out first, and the
connection is not broken before this descriptor is closed too.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
from contextlib import ExitStack
from io import BufferedReader

from aiohttp.abc import AbstractStreamWriter

TURN_BYTES = 16 << 20
"""How much one trip to a thread sends at most: others want theirs."""

PIECE_BYTES = 1 << 19
"""What the kernel is given at a time: a client beside it reads what is still in the processor's
cache, which saves a tenth of the work."""

BRISK_BYTES, BRISK_MS = 1 << 20, 1
"""Who took so much in a row will soon take more: the thread waits so long for that, which costs
less than a trip."""

LOOK_S = 1.0
"""How often a connection that takes nothing is looked at for whether it still is one."""

_NOT_SO = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_GONE = "The client is gone"


async def send_file(
    transport: asyncio.Transport,
    writer: AbstractStreamWriter,
    file: BufferedReader,
    offset: int,
    count: int,
) -> None:
    """Send ``count`` bytes from ``offset`` after all that was written so far.

    ``writer`` writes to ``transport``, and nobody else meanwhile. Raises ConnectionResetError
    when the client is gone or the file ends early, OSError when it cannot be read, and
    NotImplementedError, with nothing sent, where it has to be sent in another way.
    """
    connected = transport.get_extra_info("socket")
    if connected is None or transport.get_extra_info("sslcontext") is not None:
        raise NotImplementedError
    await _send_what_is_held(transport, writer)
    if transport.is_closing():
        raise ConnectionResetError(_GONE)
    sending = _Sending(transport, connected.fileno(), file.fileno())
    try:
        await sending.run(offset, offset + count)
    finally:
        sending.close()


async def _send_what_is_held(transport: asyncio.Transport, writer: AbstractStreamWriter) -> None:
    if not transport.is_closing():
        transport.set_write_buffer_limits(0)
        try:
            await writer.drain()
        finally:
            if not transport.is_closing():
                transport.set_write_buffer_limits()


class _Sending:
    """One file on its way. Has descriptors of its own, which a thread may still be using when
    nobody waits for it any more."""

    def __init__(self, transport: asyncio.Transport, connected: int, file: int) -> None:
        self._transport = transport
        self._turn: asyncio.Future[int] | None = None
        self._descriptors = ExitStack()
        self._socket = self._own(connected)
        self._file = self._own(file)

    def _own(self, descriptor: int) -> int:
        try:
            own = os.dup(descriptor)
        except OSError:
            self._descriptors.close()
            raise
        self._descriptors.callback(os.close, own)
        return own

    async def run(self, offset: int, stop: int) -> None:
        begin = offset
        while offset < stop:
            if self._transport.is_closing():
                raise ConnectionResetError(_GONE)
            end = min(stop, offset + TURN_BYTES)
            try:
                offset = await self._in_thread(offset, end)
            except OSError as error:
                if error.errno in _NOT_SO and offset == begin:
                    raise NotImplementedError from error
                if error.errno == errno.EIO:
                    raise
                raise ConnectionResetError(_GONE) from error
            if offset < end:
                await self._until_writable()

    async def _in_thread(self, offset: int, end: int) -> int:
        loop = asyncio.get_running_loop()
        self._turn = loop.run_in_executor(None, _send, self._socket, self._file, offset, end)
        return await asyncio.shield(self._turn)

    async def _until_writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable = loop.create_future()
        loop.add_writer(self._socket, _tell, writable)
        try:
            await asyncio.wait((writable,), timeout=LOOK_S)
        finally:
            loop.remove_writer(self._socket)

    def close(self) -> None:
        if self._turn is None or self._turn.done():
            self._descriptors.close()
        else:
            self._turn.add_done_callback(self._over)

    def _over(self, turn: asyncio.Future[int]) -> None:
        if not turn.cancelled():
            turn.exception()
        self._descriptors.close()


def _tell(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _send(connected: int, file: int, offset: int, end: int) -> int:
    """Send as long as the client takes it; how far that went."""
    poll = select.poll()
    poll.register(connected, select.POLLOUT)
    in_a_row = 0
    while offset < end:
        try:
            sent = os.sendfile(connected, file, offset, min(PIECE_BYTES, end - offset))
        except BlockingIOError:
            if in_a_row < BRISK_BYTES or not poll.poll(BRISK_MS):
                break
            in_a_row = 0
            continue
        if not sent:
            raise ConnectionResetError("The file ended early")
        offset += sent
        in_a_row += sent
    return offset
