"""Following a chain's metadata events into the index, for as long as the service runs.

A round goes from where the index stands to the head in steps, and each step takes rows and
progress down together. What stands is judged by the hash of the last block passed: if the
chain has another there, a binary search over the checkpoints finds where both part, what
came later is undone, and the blocks are gone through again.

Nodes are not to be relied on. One that lags behind shows no events where others have some,
so a round looks at the last ``overlap`` blocks again, and a chain that has become shorter
is believed only after a while. Both ends of a step must be on one fork before and after its
events are read, and near the head each event's block too. Contracts that the factory did
not make are passed over; that they are not from it is always asked anew, since a negative
answer may be older than the NFT.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from compute.workqueue import backoff_s
from provider.assets.index.models import Change, StateChange, Tip, Version
from provider.assets.index.opening import Opener
from provider.assets.index.store import IndexStore
from provider.chain import events
from provider.chain.chains import ChainAccess
from provider.chain.events import MetadataEvent, MetadataState
from provider.chain.models import Log
from provider.errors import CallRefused, ChainUnavailable

log = logging.getLogger(__name__)

TOPICS = (events.METADATA_CREATED, events.METADATA_UPDATED, events.METADATA_STATE)
AssetEvent = MetadataEvent | MetadataState

NEAR_BLOCKS = 64
ROUND_TRIES = 5
AT_ONCE = 8
RECORD_EVENTS = 64
ASKED_AT_ONCE = 4

_IN_FACTORY = {
    "type": "function",
    "name": "erc721List",
    "stateMutability": "view",
    "inputs": [{"name": "", "type": "address"}],
    "outputs": [{"name": "", "type": "address"}],
}


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
    least_step: int = 16
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
        self._tip = tip
        head = await self._chain.head()
        while self._tip.number < head:
            try:
                await self._advance(self._tip, head)
            except ChainUnavailable:
                self._step = max(self._step // 2, self._pace.least_step)
                raise

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
        end = await self._block_hash(last)
        first = max(tip.number + 1 - self._pace.overlap, self._first_block)
        logs = await self._chain.logs(first, last, TOPICS)
        if not await self._stands(tip) or await self._block_hash(last) != end:
            raise _Moved
        fresh = await self._fresh(logs, first, last)
        await self._require_canonical(fresh, head)
        genuine = await self._genuine(fresh)
        await self._record(genuine, Tip(last, end))
        self._adapt(len(logs))

    async def _block_hash(self, number: int) -> str:
        block = await self._chain.block(number)
        if block is None:
            raise _Moved
        return block.hash

    async def _fresh(self, logs: Sequence[Log], first: int, last: int) -> list[AssetEvent]:
        """The events that the index does not hold yet, in the order of the chain."""
        known = await self._store.known(self.chain_id, first, last)
        unknown = [each for each in logs if (each.block, each.index, each.block_hash) not in known]
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

    async def _genuine(self, fresh: Sequence[AssetEvent]) -> list[AssetEvent]:
        """Without events of contracts that the factory did not make."""
        contracts = list(dict.fromkeys(event.log.address for event in fresh))
        made = set()
        for start in range(0, len(contracts), AT_ONCE):
            some = contracts[start : start + AT_ONCE]
            answers = await asyncio.gather(*map(self._is_made, some), return_exceptions=True)
            for contract, answer in zip(some, answers, strict=True):
                if isinstance(answer, BaseException):
                    raise answer
                if answer:
                    made.add(contract)
                else:
                    log.debug("index_look_alike chain=%s contract=%s", self.chain_id, contract)
        return [event for event in fresh if event.log.address in made]

    async def _is_made(self, contract: str) -> bool:
        contracts = self._access.contracts
        if await contracts.is_from_factory(contract):
            return True
        try:
            listed = await contracts.read(self._access.settings.factory, _IN_FACTORY, [contract])
        except CallRefused:
            return False
        return isinstance(listed, str) and listed.lower() == contract

    async def _record(self, genuine: Sequence[AssetEvent], end: Tip) -> None:
        """Take down in portions that end with a block, so that each is a place to go on from."""
        for portion in _portions(genuine):
            changes = await self._changes(portion)
            last = portion[-1].log
            await self._note(changes, Tip(last.block, last.block_hash))
        if self._tip != end:
            await self._note([], end)

    async def _note(self, changes: Sequence[Change], tip: Tip) -> None:
        await self._store.record(self.chain_id, changes, tip)
        self._tip = tip
        if any(isinstance(each, Version) and each.retry_at is not None for each in changes):
            self._sealed.set()

    async def _changes(self, portion: Sequence[AssetEvent]) -> list[Change]:
        published = [event for event in portion if isinstance(event, MetadataEvent)]
        states = [event for event in portion if isinstance(event, MetadataState)]
        return [
            *await self._opener.versions(published, self.chain_id),
            *(_state_change(event, self.chain_id) for event in states),
        ]

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
            except Exception:
                log.exception("index_reask_failed chain=%s", self.chain_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.reask_s):
                    await self._sealed.wait()

    async def reask_due(self) -> None:
        """Ask other providers for the documents that are due."""
        due = await self._store.due(self.chain_id, self._opener.time(), ASKED_AT_ONCE)
        while due:
            for version in await asyncio.gather(*map(self._opener.ask_again, due)):
                await self._store.settle(version)
            due = await self._store.due(self.chain_id, self._opener.time(), ASKED_AT_ONCE)


def _stage(number: int, head: int) -> int:
    """The block to go to from ``number``: one that no usual reorganisation reaches, then the
    head, so that what may be undone lies behind a checkpoint."""
    safe = head - NEAR_BLOCKS
    return safe if number < safe else head


def _event(log: Log) -> AssetEvent | None:
    return events.metadata(log) or events.metadata_state(log)


def _portions(genuine: Sequence[AssetEvent]) -> Iterator[list[AssetEvent]]:
    """Whole blocks, as many as it takes for ``RECORD_EVENTS`` events."""
    portion: list[AssetEvent] = []
    for event in genuine:
        if len(portion) >= RECORD_EVENTS and event.log.block != portion[-1].log.block:
            yield portion
            portion = []
        portion.append(event)
    if portion:
        yield portion


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
