"""Builders of what a fold hands to the store, with defaults, and a look at what it kept."""

from collections.abc import Sequence
from typing import Protocol

import psycopg
from msgspec import Struct

from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.rows import (
    ON_TIME,
    BatchOutcome,
    CellKey,
    CellRow,
    Grain,
    Measures,
    RawRow,
    SeenRow,
    SessionRow,
    SessionState,
)
from streams.store import batch
from streams.store.checkpoint import CheckpointStore, DeadLetter, SessionKey
from tests.support.checkpoint_memory import MemoryCheckpoint
from tests.support.facts import T0_MS

TENANT = TenantId("local")


def raw(offset: int, *, session: str = "s1", **fields: object) -> RawRow:
    """Return a raw row as the event at `offset` leaves it."""
    defaults: dict[str, object] = {
        "id": f"event-{offset}",
        "tenant": TENANT,
        "session_id": session,
        "at_ms": T0_MS + offset,
        "type": "request.finished",
        "source": "otel",
        "project": "mainstem",
        "agent": "claude-code",
        "agent_id": "",
        "model": "claude-opus-4-5",
        "tool": "",
        "duration_ms": 1_200,
        "cost_nanousd": None,
        "failed": False,
        "offset": offset,
        "payload": b'{"type":"request.finished","id":"event-%d"}' % offset,
    }
    return RawRow(**(defaults | fields))  # type: ignore[arg-type]  # fields by name, of any type


def cell(calls: int = 1, **fields: object) -> CellRow:
    """Return a cell of the ten seconds from `T0_MS` with some calls."""
    defaults: dict[str, object] = {
        "key": CellKey(tenant=TENANT, grain=Grain.FLEET, agent="claude-code", model="opus"),
        "width_ms": 10_000,
        "start_ms": T0_MS,
        "batch_offset": ON_TIME,
        "measures": Measures(calls=calls, events=calls),
        "latency": b"\x01\x00\x01\x00\x00\x00",
        "closed": False,
    }
    return CellRow(**(defaults | fields))  # type: ignore[arg-type]  # fields by name, of any type


def session(name: str = "s1", **fields: object) -> SessionRow:
    """Return a running session."""
    defaults: dict[str, object] = {
        "tenant": TENANT,
        "session_id": SessionId(name),
        "project": "mainstem",
        "agent": "claude-code",
        "version": "2.1.0",
        "user": "ada",
        "team": "core",
        "model": "claude-opus-4-5",
        "state": SessionState.RUNNING,
        "state_since_ms": T0_MS,
        "attention": "",
        "started_ms": T0_MS,
        "last_ms": T0_MS + 123,
        "ended_ms": None,
        "first_prompt": "make it so",
        "totals": Measures(calls=3, cost_nanousd=2**40),
        "latency": b"",
    }
    return SessionRow(**(defaults | fields))  # type: ignore[arg-type]  # fields by name


def session_key(name: str = "s1") -> SessionKey:
    """Return the key of one of our sessions."""
    return (TENANT, SessionId(name))


def seen(memory: bytes, *, batch_offset: int = 0, name: str = "s1") -> SeenRow:
    """Return what a batch adds to a session's memory."""
    return SeenRow(
        tenant=TENANT, session_id=SessionId(name), batch_offset=batch_offset, memory=memory
    )


def outcome(first: int, following: int, **fields: object) -> BatchOutcome:
    """Return an outcome of the offsets `first` up to `following`, one raw row each."""
    defaults: dict[str, object] = {
        "first_offset": first,
        "next_offset": following,
        "watermark_ms": T0_MS,
        "raw": tuple(raw(offset) for offset in range(first, following)),
        "cells": (),
        "closed": (),
        "sessions": (),
        "seen": (),
        "late_count": 0,
        "duplicate_count": 0,
        "backfill_count": 0,
    }
    return BatchOutcome(**(defaults | fields))  # type: ignore[arg-type]  # fields by name, of any type


def dead_letter(offset: int = 7) -> DeadLetter:
    """Return something that could not be read."""
    return DeadLetter(
        topic="mainstem.agents.v1",
        partition=0,
        offset=offset,
        at_ms=T0_MS,
        tenant="local",
        origin="worker",
        reason="not an event",
        payload=b"\x00\xff{",
    )


class KeptCell(Struct, frozen=True):
    """A cell as a checkpoint store keeps it, with the log and partition it came from."""

    log_id: int
    partition: int
    start_ms: int
    batch_offset: int
    calls: int
    closed: bool


class Looker(Protocol):
    """A way to see what a checkpoint store kept that its port does not show."""

    def raw_ids(self) -> list[str]:
        """Return the ids of all raw rows, sorted."""
        ...

    def cells(self, width_ms: int = 10_000) -> list[KeptCell]:
        """Return the cells of a width, sorted."""
        ...

    def dead_letters(self) -> list[DeadLetter]:
        """Return what became a dead letter, in order."""
        ...


class Store(Struct):
    """A checkpoint store, a second one on the same store, and a way to look into it."""

    checkpoints: CheckpointStore
    other: CheckpointStore
    look: Looker


class MemoryLooker:
    """Looks into a `MemoryCheckpoint`."""

    def __init__(self, checkpoints: MemoryCheckpoint) -> None:
        self._checkpoints = checkpoints

    def raw_ids(self) -> list[str]:
        """Return the ids of all raw rows, sorted."""
        return sorted(row.id for rows in self._checkpoints.rows.values() for row in rows)

    def cells(self, width_ms: int = 10_000) -> list[KeptCell]:
        """Return the cells of a width, sorted."""
        kept = [
            KeptCell(
                log_id, partition, one.start_ms, one.batch_offset, one.measures.calls, one.closed
            )
            for (log_id, partition), cells in self._checkpoints.cells.items()
            for one in cells.values()
            if one.width_ms == width_ms
        ]
        return _sorted(kept)

    def dead_letters(self) -> list[DeadLetter]:
        """Return what became a dead letter, in order."""
        return list(self._checkpoints.dead_letters)


class PostgresLooker:
    """Looks into a database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Return all rows of a query."""
        with psycopg.connect(self.url, options="-c timezone=UTC") as db:
            return db.execute(query.encode()).fetchall()

    def raw_ids(self) -> list[str]:
        """Return the ids of all raw rows, sorted."""
        return [str(row[0]) for row in self.rows("select id from events order by id")]

    def cells(self, width_ms: int = 10_000) -> list[KeptCell]:
        """Return the cells of a width, sorted."""
        table = batch.WINDOWS[width_ms]
        kept = self.rows(
            "select log_id, partition, (extract(epoch from start_at) * 1000)::int8, batch_offset,"
            f" coalesce(calls, 0), closed from {table}"
        )
        return _sorted([KeptCell(*row) for row in kept])  # type: ignore[arg-type]  # as selected

    def dead_letters(self) -> list[DeadLetter]:
        """Return what became a dead letter, in order."""
        rows = self.rows(
            "select topic, partition, log_offset, (extract(epoch from at) * 1000)::int8, tenant,"
            " origin, reason, payload from dead_letters order by at, log_offset"
        )
        names = DeadLetter.__struct_fields__
        return [DeadLetter(**dict(zip(names, row, strict=True))) for row in rows]  # type: ignore[arg-type]  # as selected


def _sorted(kept: Sequence[KeptCell]) -> list[KeptCell]:
    return sorted(kept, key=lambda one: (one.log_id, one.partition, one.start_ms, one.batch_offset))
