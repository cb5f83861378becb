"""Following a chain's metadata events into the index, for as long as the service runs.

A round goes from where the index stands to the head in steps, and each step takes rows and
progress down together. What stands is judged by the hash of the last block passed: if the
chain has another there, a binary search over the checkpoints finds where both part, what
came later is undone, and the blocks are gone through again.

Nodes are not to be relied on. One that lags behind shows no events where others have some,
so a round looks at the last ``overlap`` blocks again, and a chain that has become shorter
is believed only after a while. Both ends of a step must be on one fork before and after its
events are read, and near the head each event's block too. Contracts that the factory did
not make are passed over before their events are read.

Blocks are what an attacker can fill. So a step becomes as small as a block where more would
be too much at once, and documents are taken down as they are opened: rows above the block
that the index stands at are then of a step that was not finished, and are undone before the
next. Only the newest document of an asset is kept. When a reorganisation makes an earlier
version the newest again, that one's document is read from its block again, at the end of a
round; the same is looked for after a start, since the service may have ended in between.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest

from compute.workqueue import backoff_s
from provider.assets.index.asking import ask_due
from provider.assets.index.genuine import Genuine
from provider.assets.index.models import Change, StateChange, Tip, Version
from provider.assets.index.opening import Opener, unread
from provider.assets.index.store import IndexStore
from provider.chain import events
from provider.chain.chains import ChainAccess
from provider.chain.events import MetadataEvent, MetadataState
from provider.chain.models import Log
from provider.errors import ChainUnavailable, RangeTooLarge
from provider.sharing.leases import LeaseLost

log = logging.getLogger(__name__)

TOPICS = (events.METADATA_CREATED, events.METADATA_UPDATED, events.METADATA_STATE)
AssetEvent = MetadataEvent | MetadataState

NEAR_BLOCKS = 64
ROUND_TRIES = 5
RECORD_EVENTS = 64
RECORD_BYTES = 2 * 1024 * 1024
"""Of documents, beyond which they are taken down before more of them are opened."""
REREAD_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Pace:
    """How a chain is followed. Steps grow and shrink with the events that they bring."""

    poll_s: float = 1.0
    spacing_s: float = 0.25
    """Between two rounds at least, whoever wants the second."""
    patience_s: float = 5.0
    """How long a chain that became shorter is taken for a node that lags behind."""
    reask_s: float = 10.0
    overlap: int = 16
    step: int = 2_000
    least_step: int = 1
    most_step: int = 20_000
    few_events: int = 100
    many_events: int = 1_000


class _Moved(Exception):
    """The chain changed while a step looked at it."""


class AssetFollower:
    """Keeps the index of one chain up to its head, while :meth:`run` runs."""

    def __init__(
        self, access: ChainAccess, store: IndexStore, opener: Opener, *, pace: Pace | None = None
    ) -> None:
        self.chain_id = access.settings.chain_id
        self.problem = ""
        """Why the last round failed; empty when it did not."""
        self._access = access
        self._chain = access.chain
        self._store = store
        self._opener = opener
        self._pace = pace or Pace()
        self._first_block = access.settings.index_from or 0
        self._basis = f"{access.settings.factory} {opener.address}".lower()
        self._step = self._pace.step
        self._genuine = Genuine(access, self._pace.overlap)
        self._uncertain = True
        self._tip: Tip | None = None
        self._short_since: float | None = None
        self._wake = asyncio.Event()
        self._sealed = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def block(self) -> int | None:
        """All up to this block is in the index; None as long as no block was looked at."""
        return self._tip.number if self._tip is not None and self._tip.hash else None

    async def run(self) -> None:
        """Follow until cancelled; nothing else ends it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name=f"index of chain {self.chain_id}")
            if self._opener.asks:
                group.create_task(self._reask(), name=f"sealed assets of chain {self.chain_id}")

    async def catch_up(self, within_s: float = 5.0) -> bool:
        """Have all up to the present head indexed; False when that takes longer.

        Everybody who asks meanwhile shares a round. Raises ChainUnavailable. Needs
        :meth:`run` to be running.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        try:
            async with asyncio.timeout(within_s):
                await waiter
        except TimeoutError:
            return False
        return True

    def wake(self) -> None:
        """Begin the next round now, as :meth:`catch_up` does, without waiting for it."""
        self._wake.set()

    async def sync(self) -> None:
        """One round: to the head of the chain. Not to be run beside :meth:`run`.

        Raises ChainUnavailable; what was done until then stays.
        """
        for _ in range(ROUND_TRIES):
            with suppress(_Moved):
                return await self._round()
            await asyncio.sleep(self._pace.spacing_s)
        raise ChainUnavailable(self.chain_id, "the chain changes faster than it can be read")

    async def _follow(self) -> None:
        failures = 0
        try:
            while True:
                self._wake.clear()
                waiters, self._waiters = self._waiters, []
                failures = 0 if await self._guarded(waiters) else failures + 1
                await self._rest(failures)
        finally:
            self._answer(self._waiters, ChainUnavailable(self.chain_id, "ending"))

    async def _guarded(self, waiters: Sequence[asyncio.Future[None]]) -> bool:
        """A round that may fail; tells whoever waits for it."""
        failure: ChainUnavailable | None = ChainUnavailable(self.chain_id, "ending")
        try:
            await self.sync()
        except ChainUnavailable as error:
            failure = error
            self._failed(error.cause or error.public)
        except LeaseLost:
            failure = ChainUnavailable(self.chain_id, "another process follows it now")
            log.info("index_turn_lost chain=%s", self.chain_id)
        except Exception:
            log.exception("index_round_failed chain=%s", self.chain_id)
            failure = ChainUnavailable(self.chain_id, "a fault in the index")
            self.problem = failure.public
        else:
            failure = None
            self._recovered()
        finally:
            self._answer(waiters, failure)
        return failure is None

    def _failed(self, cause: str) -> None:
        if not self.problem:
            log.warning("index_stalled chain=%s cause=%r", self.chain_id, cause)
        self.problem = cause

    def _recovered(self) -> None:
        if self.problem:
            log.info("index_resumed chain=%s block=%s", self.chain_id, self.block)
        self.problem = ""

    def _answer(
        self, waiters: Sequence[asyncio.Future[None]], failure: ChainUnavailable | None
    ) -> None:
        for waiter in waiters:
            if waiter.done():
                continue
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)

    async def _rest(self, failures: int) -> None:
        """Until the next poll, or until somebody wants to know, but never too short."""
        least = self._pace.spacing_s * (4 if failures else 1)
        pause = backoff_s(failures - 1, first_s=self._pace.poll_s) if failures else 0.0
        await asyncio.sleep(least)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(pause, self._pace.poll_s) - least):
                await self._wake.wait()

    async def _round(self) -> None:
        tip = await self._settled()
        if tip is None:
            return
        if self._uncertain:
            await self._store.undo(self.chain_id, tip)
        self._tip = tip
        head = await self._chain.head()
        while self._tip.number < head:
            try:
                await self._advance(self._tip, head)
            except ChainUnavailable:
                self._step = max(self._step // 2, self._pace.least_step)
                raise
        if self._uncertain:
            self._uncertain = not await self._reread()

    async def _reread(self) -> bool:
        """Read documents again whose versions took their place back from undone ones.

        False when there are more, or a node does not show where one was published.
        """
        emptied = await self._store.emptied(self.chain_id, REREAD_AT_ONCE)
        for version in emptied:
            event = await self._event_of(version)
            if event is not None:
                again = await self._opener.version(event, self.chain_id)
                await self._store.settle(again)
                self._sealed.set()
        return not emptied

    async def _event_of(self, version: Version) -> MetadataEvent | None:
        try:
            logs = await self._chain.logs(version.block, version.block, TOPICS, address=version.nft)
        except RangeTooLarge:
            return None
        place = (version.log_index, version.block_hash)
        found = (events.metadata(each) for each in logs if (each.index, each.block_hash) == place)
        return next(found, None)

    async def _settled(self) -> Tip | None:
        """The block that the index stands at, after undoing what is no part of the chain.

        None while the nodes may just be behind the index.
        """
        tip = self._tip or await self._store.begin(self.chain_id, self._basis, self._first_block)
        if await self._stands(tip):
            self._short_since = None
            return tip
        marks = await self._store.checkpoints(self.chain_id)
        kept = await self._standing(marks)
        if await self._lags(marks[kept]):
            return None
        common = marks[kept - 1] if kept else Tip(self._first_block - 1, "")
        log.warning(
            "index_reorganised chain=%s block=%s back_to=%s",
            self.chain_id,
            tip.number,
            common.number,
        )
        await self._store.undo(self.chain_id, common)
        self._uncertain = True
        self._short_since = None
        return common

    async def _stands(self, tip: Tip) -> bool:
        if not tip.hash:
            return True
        block = await self._chain.block(tip.number)
        return block is not None and block.hash == tip.hash

    async def _standing(self, marks: Sequence[Tip]) -> int:
        """How many of the checkpoints, from the first one on, are part of the chain."""
        low, high = 0, len(marks) - 1
        while low < high:
            middle = (low + high) // 2
            if await self._stands(marks[middle]):
                low = middle + 1
            else:
                high = middle
        return low

    async def _lags(self, mark: Tip) -> bool:
        """True as long as the block after the last common one may still be shown again."""
        if await self._chain.block(mark.number) is not None:
            return False
        now = time.monotonic()
        self._short_since = self._short_since or now
        return now - self._short_since < self._pace.patience_s

    async def _advance(self, tip: Tip, head: int) -> None:
        last = min(tip.number + self._step, _stage(tip.number, head))
        first = max(tip.number + 1 - self._pace.overlap, self._first_block)
        logs = None
        while logs is None:
            end = await self._block_hash(last)
            try:
                logs = await self._logs(first, last)
            except RangeTooLarge as error:
                first, last = _narrower(tip.number, first, last, error.last)
                self._step = last - tip.number
        if not await self._stands(tip) or await self._block_hash(last) != end:
            raise _Moved
        fresh = await self._fresh(logs, first, last, head)
        await self._require_canonical(fresh, head)
        await self._record(fresh, Tip(last, end))
        self._adapt(len(logs))

    async def _logs(self, first: int, last: int) -> list[Log]:
        """Raises RangeTooLarge for several blocks; one of which no node tells the events is
        passed over, as all the rest would otherwise wait for it for ever."""
        try:
            return await self._chain.logs(first, last, TOPICS)
        except RangeTooLarge:
            if first < last:
                raise
        log.warning("index_block_passed_over chain=%s block=%s", self.chain_id, last)
        return []

    async def _block_hash(self, number: int) -> str:
        block = await self._chain.block(number)
        if block is None:
            raise _Moved
        return block.hash

    async def _fresh(
        self, logs: Sequence[Log], first: int, last: int, head: int
    ) -> list[AssetEvent]:
        """The events of data NFTs that the index does not hold yet, in the order of the chain.

        Contracts are judged before anything of theirs is read.
        """
        known = await self._store.known(self.chain_id, first, last)
        contracts = {
            each.address for each in logs if (each.block, each.index, each.block_hash) not in known
        }
        made = await self._genuine.among(contracts, head)
        unknown = [
            each
            for each in logs
            if each.address in made and (each.block, each.index, each.block_hash) not in known
        ]
        read = await asyncio.to_thread(lambda: list(map(_event, unknown)))
        return [event for event in read if event is not None]

    async def _require_canonical(self, fresh: Sequence[AssetEvent], head: int) -> None:
        """Raise _Moved for an event near the head that stands in a block of another fork."""
        near = {
            (event.log.block, event.log.block_hash)
            for event in fresh
            if event.log.block > head - NEAR_BLOCKS
        }
        for number, block_hash in near:
            if await self._block_hash(number) != block_hash:
                raise _Moved

    async def _record(self, genuine: Sequence[AssetEvent], end: Tip) -> None:
        """Take down in portions, each of which ends with a block or is not passed yet.

        Of each asset only the newest document is opened.
        """
        uncertain, self._uncertain = self._uncertain, True
        newest = {event.log.address: event for event in genuine if isinstance(event, MetadataEvent)}
        portion: list[Change] = []
        weight = 0
        for event, following in zip_longest(genuine, genuine[1:]):
            change = await self._change(
                event, superseded=newest.get(event.log.address) is not event
            )
            portion.append(change)
            weight += len(change.document or "") if isinstance(change, Version) else 0
            if len(portion) >= RECORD_EVENTS or weight >= RECORD_BYTES:
                uncertain |= await self._note(portion, self._passed(event, following))
                portion, weight = [], 0
        if portion or self._tip != end:
            uncertain |= await self._note(portion, end)
        self._uncertain = uncertain

    def _passed(self, event: AssetEvent, following: AssetEvent | None) -> Tip | None:
        """The block of an event, if it is done with and one to go on from."""
        done = following is None or following.log.block > event.log.block
        ahead = self._tip is None or event.log.block > self._tip.number
        return Tip(event.log.block, event.log.block_hash) if done and ahead else None

    async def _note(self, changes: Sequence[Change], tip: Tip | None) -> bool:
        replaced = await self._store.record(self.chain_id, changes, tip)
        self._tip = tip or self._tip
        if any(isinstance(each, Version) and each.retry_at is not None for each in changes):
            self._sealed.set()
        return replaced

    async def _change(self, event: AssetEvent, *, superseded: bool) -> Change:
        if isinstance(event, MetadataState):
            return _state_change(event, self.chain_id)
        if superseded:
            return unread(event, self.chain_id)
        return await self._opener.version(event, self.chain_id)

    def _adapt(self, found: int) -> None:
        if found > self._pace.many_events:
            self._step = max(self._step // 2, self._pace.least_step)
        elif found < self._pace.few_events:
            self._step = min(self._step * 2, self._pace.most_step)

    async def _reask(self) -> None:
        """Have other providers open what they sealed, a few at a time."""
        while True:
            self._sealed.clear()
            try:
                await self.reask_due()
            except LeaseLost:
                log.info("index_turn_lost chain=%s", self.chain_id)
            except Exception:
                log.exception("index_reask_failed chain=%s", self.chain_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.reask_s):
                    await self._sealed.wait()

    async def reask_due(self) -> None:
        """Ask other providers for the documents that are due."""
        await ask_due(self.chain_id, self._store, self._opener)


def _stage(number: int, head: int) -> int:
    """The block to go to from ``number``: one that no usual reorganisation reaches, then the
    head, so that what may be undone lies behind a checkpoint."""
    safe = head - NEAR_BLOCKS
    return safe if number < safe else head


def _narrower(tip: int, first: int, last: int, fits: int | None) -> tuple[int, int]:
    """Fewer blocks to look at after ``tip``, and of those before it once there is one left.

    ``fits`` is the last block that could have been had.
    """
    if fits is not None and tip < fits < last:
        return first, fits
    if last - tip > 1:
        return first, tip + (last - tip) // 2
    return last - (last - first) // 2, last


def _event(log: Log) -> AssetEvent | None:
    return events.metadata(log) or events.metadata_state(log)


def _state_change(event: MetadataState, chain_id: int) -> StateChange:
    return StateChange(
        chain_id=chain_id,
        block=event.log.block,
        log_index=event.log.index,
        nft=event.log.address,
        block_hash=event.log.block_hash,
        tx=event.log.tx,
        timestamp=min(event.timestamp, 2**63 - 1),
        state=event.state,
        updated_by=event.updated_by,
    )
