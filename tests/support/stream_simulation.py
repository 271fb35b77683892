"""A broker, workers and a store on a virtual clock, with faults drawn from a seed.

Everything between a record and the store's rows is the real thing: decoding, the fold, the step,
the assignment, the outbox. What is made up is the log, the checkpoint store's faults, and time. One
seed decides all of it, so a run that fails can be run again. Nothing sleeps.

A broker may be replaced by another with an empty log; what the old one had acknowledged and no
worker had stored goes with it, as a memory-only broker's does, and is left out of the truth.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, Final

from faust.types import TP
from msgspec import Struct

from analytics.contracts import cloudevents, events, topics
from analytics.contracts.agent_events import PromptSubmitted
from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import BrokerAway, StoreAway
from analytics.contracts.events import Event
from analytics.contracts.result_events import WindowClosed
from analytics.measures.fold import FoldRules
from analytics.measures.prices import PriceTable
from analytics.windows.final_aggregation import MergeRules
from streams.consumer.assignment import PartitionAssignment, Waits
from streams.consumer.commit_pipeline import Bounds
from streams.consumer.outbox_relay import Outbox
from streams.consumer.partition_processor import Stored
from streams.consumer.topology import recipes
from tests.support import facts
from tests.support.checkpoint_faulty import Faults, FaultyCheckpoint
from tests.support.checkpoint_memory import MemoryCheckpoint
from tests.support.stream_steps import Item

ADDRESS: Final = topics.AGENTS.address
PARTITIONS: Final = 3
SHARED: Final = topics.PARTIALS.address
WIDTHS: Final = {ADDRESS: PARTITIONS, SHARED: 2}
"""How many partitions each topic has."""
SESSIONS: Final = 7
MERGE_RULES: Final = MergeRules(idle_ms=8_000, kept_ms=10**12)
RULES: Final = FoldRules(
    lateness_ms=5_000, idle_ms=8_000, sessions_max=4, remembered_max=60, closing_max=2
)
PRICES: Final = PriceTable({})
ATTEMPTS_MAX: Final = 2_000
PARTS: Final = [TP(topic, number) for topic, width in WIDTHS.items() for number in range(width)]
CLOSING_ROUNDS: Final = 4
"""So often everything is read, closed and sent in the end: a stage feeds the next."""


class Logged(Struct, frozen=True):
    """A record as a consumer sees it."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Broker:
    """A log of some partitions; `cluster_id` tells one broker from the next."""

    def __init__(self, number: int) -> None:
        self.cluster_id = f"cluster-{number}"
        self.logs = {tp: list[Logged]() for tp in PARTS}

    def append(self, record: Record | bytes, *, now_ms: int, key: bytes) -> tuple[int, int]:
        """Append a record, by its key; return its partition and offset."""
        topic = SHARED if isinstance(record, Record) and record.topic == SHARED else ADDRESS
        partition = sum(key) % WIDTHS[topic]
        into = self.logs[TP(topic, partition)]
        value = record if isinstance(record, bytes) else record.value
        headers = () if isinstance(record, bytes) else record.headers
        into.append(Logged(len(into), now_ms, key, value, headers))
        return partition, len(into) - 1


class Silent:
    """A watch that only counts what the flow as a whole is asked for."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def claimed(self, tp: TP) -> None:
        """Count a claim."""
        self.seen["claimed"] += 1

    def stored(self, tp: TP, stored: Stored) -> None:
        """Count a commit."""
        self.seen["stored"] += 1

    def taken(self, tp: TP, records: int) -> None:
        """Count a batch."""
        self.seen["taken"] += 1

    def fenced(self, tp: TP) -> None:
        """Count a fence."""
        self.seen["fenced"] += 1

    def rewound(self, tp: TP) -> None:
        """Count a rewind."""
        self.seen["rewound"] += 1

    def waiting(self, part: str, reason: str) -> None:
        """Count a wait."""
        self.seen["waiting"] += 1


class SimulatedWorker:
    """An assignment with a consumer's positions; it is the world that its assignment lives in."""

    def __init__(self, flow: "Flow") -> None:
        self._flow = flow
        self.positions: dict[TP, int] = {}
        self.held: frozenset[TP] = frozenset()
        self.broker = flow.broker
        self.checkpoints = FaultyCheckpoint(flow.store, flow.chance, flow.faults)
        waits = Waits(retry_ms=50, retry_ms_max=400, fenced_ms=2_000)
        self.assignment = PartitionAssignment(
            recipes(PRICES, RULES, MERGE_RULES),
            self.checkpoints,
            self,
            watch=flow.watch,
            waits=waits,
            bounds=Bounds(batches_max=2, records_max=20, waiting_bytes_max=4_000),
        )

    def now_ms(self) -> int:
        """Return the virtual time."""
        return self._flow.now_ms

    def stopwatch(self) -> float:
        """Return the virtual time in seconds."""
        return self._flow.now_ms / 1_000

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._flow.now_ms += int(seconds * 1_000)
        await asyncio.sleep(0)

    async def place(self, tp: TP, offset: int, *, mark: int) -> None:
        """Go on from `offset`."""
        await asyncio.sleep(0)
        self.positions[tp] = offset

    def hold(self, held: Collection[TP]) -> None:
        """Read no further for some partitions."""
        self.held = frozenset(held)

    def hindered(self) -> str:
        """Say, now and then, that nothing may be stored."""
        hindered = self._flow.chance.random() < self._flow.faults.hindered
        return "the outbox is full" if hindered else ""

    def quiet(self, tp: TP, offset: int) -> bool:
        """Say whether the log ends at `offset`."""
        return len(self.broker.logs[tp]) <= offset

    def fetch(self, tp: TP, records_max: int) -> Item | None:
        """Return the next records of a partition and go past them."""
        at = self.positions.get(tp)
        if at is None or tp in self.held:
            return None
        records = self.broker.logs[tp][at : at + records_max]
        if not records:
            return None
        self.positions[tp] = at + len(records)
        size = 500 * len(records)
        return Item(self.broker.cluster_id, *tp, at, at + len(records), records, size)


class Flow:
    """One run: sources, a broker, workers and a store."""

    def __init__(
        self, seed: int, *, store: MemoryCheckpoint | None = None, faults: Faults | None = None
    ) -> None:
        self.chance = random.Random(seed)
        self.faults = faults or Faults()
        self.store = store or MemoryCheckpoint()
        self.watch = Silent()
        self.now_ms = facts.T0_MS
        self.broker = Broker(0)
        self.brokers = [self.broker]
        self.workers = [SimulatedWorker(self), SimulatedWorker(self)]
        self.published: dict[str, list[WindowClosed]] = defaultdict(list)
        self._sent: list[Event] = []
        self._numbers = 0
        self._flying: set[asyncio.Task[None]] = set()
        self._generation = 0

    async def run(self, steps: int) -> None:
        """Let `steps` things happen, then heal everything and read to the end."""
        await self._assign(self._shares())
        actions = (
            (self._produce, 40), (self._resend, 6), (self._poison, 3), (self._deliver, 30),
            (self._deliver_twice, 3), (self._lose, 2), (self._tick, 6), (self._wait, 6),
            (self._rebalance, 2), (self._steal, 2), (self._crash, 2),
            (self._replace_broker, 1), (self._publish, 4),
        )  # fmt: skip
        names, weights = zip(*actions, strict=True)
        for action in self.chance.choices(names, weights, k=steps):
            await action()
        await self._heal()

    # What may happen.

    async def _produce(self) -> None:
        for _ in range(self.chance.randint(1, 6)):
            event = self._event()
            self._sent.append(event)
            self._append(event)

    async def _resend(self) -> None:
        for event in self.chance.choices(self._sent, k=2) if self._sent else ():
            self._append(event)

    async def _poison(self) -> None:
        key = self._session().encode()
        bad = [b"", b"{}", b"\xff\xfe", b'{"type":"no.such"}', b'{"type":"turn.finished"}']
        self.broker.append(self.chance.choice(bad), now_ms=self.now_ms, key=key)
        if self.chance.random() < 0.3:
            torn = Record(topic=SHARED, key=key, value=b"\x95\x01", headers=())
            self.broker.append(torn, now_ms=self.now_ms, key=key)
        wrong = facts.fact(events.ConnectionOpened, id=f"w{self.chance.random()}")
        self.broker.append(cloudevents.record(wrong), now_ms=self.now_ms, key=key)

    async def _deliver(self) -> None:
        worker = self.chance.choice(self.workers)
        for tp in PARTS:
            batch = worker.fetch(tp, self.chance.randint(1, 12))
            if batch is not None:
                self._fly(worker.assignment.take(batch))
        await self._turn(self.chance.randint(0, 12))

    async def _deliver_twice(self) -> None:
        worker = self.chance.choice(self.workers)
        for tp in PARTS:
            batch = worker.fetch(tp, 8)
            if batch is not None:
                self._fly(worker.assignment.take(batch))
                self._fly(worker.assignment.take(batch))

    async def _lose(self) -> None:
        """Drop a batch on the way: the next one begins after a hole."""
        worker = self.chance.choice(self.workers)
        worker.fetch(self.chance.choice(PARTS), 4)

    async def _tick(self) -> None:
        self._fly(self.chance.choice(self.workers).assignment.tick())
        await self._turn(2)

    async def _wait(self) -> None:
        self.now_ms += self.chance.choice([10, 500, 3_000, 15_000])

    async def _rebalance(self) -> None:
        for worker in self.workers:
            worker.assignment.revoked(list(worker.positions))
            worker.positions.clear()
        await self._assign(self._shares())

    async def _steal(self) -> None:
        """Give a worker all partitions; the other does not hear of it, as if it were paused."""
        await self._assign([PARTS, None])

    async def _crash(self) -> None:
        index = self.chance.randrange(len(self.workers))
        worker = self.workers[index]
        for task in list(self._flying):
            if self.chance.random() < 0.5:
                task.cancel()
        if self.chance.random() < 0.5:
            await worker.assignment.kill()
        worker.assignment.revoked(list(worker.positions))
        self.workers[index] = SimulatedWorker(self)
        await self._assign(self._shares())

    async def _replace_broker(self) -> None:
        """Put a fresh log in the place of the old; a worker may not hear of it for a while."""
        unaware = self.chance.random() < 0.5
        if not unaware:
            await self._land()
        self.broker = Broker(len(self.brokers))
        self.brokers.append(self.broker)
        if unaware:
            await self._assign([PARTS, None])
            return
        for worker in self.workers:
            worker.broker = self.broker
            worker.positions.clear()
        await self._assign(self._shares())

    async def _publish(self) -> None:
        outbox = Outbox(
            self.workers[0].checkpoints, self._broadcast, records_max=3, waiting_max=99, wait_s=1
        )
        try:
            await outbox.send_all()
        except (StoreAway, BrokerAway):
            return

    # How it is done.

    async def _broadcast(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.topic == SHARED:
                self.broker.append(record, now_ms=self.now_ms, key=record.key)
                continue
            event = events.decode(record.value)
            assert isinstance(event, WindowClosed)
            self.published[event.id].append(event)
        if self.chance.random() < self.faults.away:
            raise BrokerAway("the broker did not acknowledge")

    async def _assign(self, shares: Sequence[Sequence[TP] | None]) -> None:
        self._generation += 1
        for worker, share in zip(self.workers, shares, strict=True):
            if share is not None:
                worker.broker = self.broker
                worker.positions = {}
                self._fly(
                    worker.assignment.assigned(
                        share, log_id=self.broker.cluster_id, generation=self._generation
                    )
                )
        await self._turn(self.chance.randint(0, 30))

    def _shares(self) -> list[Sequence[TP]]:
        owner = {tp: self.chance.randrange(len(self.workers)) for tp in PARTS}
        return [[tp for tp in PARTS if owner[tp] == index] for index in range(len(self.workers))]

    def _session(self) -> str:
        return f"s{self.chance.randrange(SESSIONS)}"

    def _event(self) -> Event:
        self._numbers += 1
        number, chance = self._numbers, self.chance
        self.now_ms += chance.choice([0, 1, 40, 900])
        late_ms = chance.choice([0, 0, 0, 200, 4_000, 30_000])
        about = {
            "id": f"e{number}",
            "session_id": self._session(),
            "at_ms": max(self.now_ms - late_ms, facts.T0_MS),
            "project": f"p{chance.randrange(2)}",
        }
        if chance.random() < 0.6:
            return facts.request(f"r{number}", input_tokens=number, **about)
        if chance.random() < 0.5:
            return facts.tool(f"t{number}", lines_added=number, **about)
        return facts.fact(PromptSubmitted, text="go on", **about)

    def _append(self, event: Event) -> None:
        record = cloudevents.record(event)
        self.broker.append(record, now_ms=self.now_ms, key=record.key)

    def _fly(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)

    async def _turn(self, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    async def _land(self) -> None:
        if self._flying:
            await asyncio.gather(*self._flying, return_exceptions=True)

    async def _heal(self) -> None:
        """End all faults, read every partition to its end, close and send every window."""
        await self._land()
        calm = Faults(away=0.0, unanswered=0.0, hindered=0.0, steps_max=0)
        self.faults = calm
        for worker in self.workers:
            worker.checkpoints.faults = calm
        await self._assign([PARTS, []])
        await self._land()
        reader = self.workers[0]
        for _ in range(CLOSING_ROUNDS):
            await self._read_all(reader)
            self.now_ms += 2 * 3_600_000
            await reader.assignment.tick()
            while reader.assignment.is_closing:
                await self._turn(1)
            await self._publish()

    async def _read_all(self, reader: SimulatedWorker) -> None:
        for _ in range(ATTEMPTS_MAX):
            batches = [reader.fetch(tp, 50) for tp in PARTS]
            if not any(batches):
                break
            for batch in batches:
                if batch is not None:
                    await reader.assignment.take(batch)
