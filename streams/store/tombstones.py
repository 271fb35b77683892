"""What was erased stays so: its rows are left out of every commit, also when events come again.

A worker knows the tombstones of the store by heart and learns in every commit, from the statement
that moves its offset, whether there is a later one; if so it reads them and starts the commit anew.
Whoever erases holds `LOCK` alone while it sets up a tombstone, and every commit shares it, so a
commit is either over before the erasing begins or knows of it. Where nothing was ever erased this
costs the comparison of two numbers.

A session's tombstone holds for ever. A user's or a tenant's holds for what happened before the
erasing: they may go on working, and what they do from then on is kept. A tenant's takes sums too.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct, structs

from analytics.contracts.cloudevents import Record
from analytics.measures.rows import BatchOutcome, Grain, RawRow, SessionRow
from streams.store import storable
from streams.store.pool import Db

LOCK: Final = 0x4D414A35
"""The advisory lock that commits share and an erasure takes alone ("MAJ5")."""
DIGEST_BYTES: Final = 16

_SALT: Final = "select salt from erasure_salt"
_ALL: Final = "select number, tenant, kind, digest, until_at from tombstones"
_ADD: Final = """
insert into tombstones (tenant, kind, digest, until_at)
select tenant, 'session', digest, now()
  from unnest(%s::text[], %s::bytea[]) as found (tenant, digest)
on conflict do nothing
"""

Session = tuple[str, str]
"""Tenant and session id."""


class ErasureKind(StrEnum):
    """Whose rows are erased."""

    SESSION = "session"
    USER = "user"
    TENANT = "tenant"


class Outdated(Exception):
    """Something was erased since the tombstones were read; they have been read again."""


class _Who(Struct):
    user: str = ""


_WHO: Final = msgspec.json.Decoder(_Who)


def digest(salt: bytes, tenant: str, subject: str) -> bytes:
    """Return what a subject is told by: BLAKE2b (RFC 7693), keyed with the store's salt."""
    told = [storable.text(part).encode() for part in (tenant, subject)]
    spelled = b"".join(len(part).to_bytes(4, "big") + part for part in told)
    return hashlib.blake2b(spelled, digest_size=DIGEST_BYTES, key=salt).digest()


class Tombstones:
    """The tombstones of a store, as far as a worker knows them."""

    def __init__(self) -> None:
        self.newest = 0
        """The number of the last tombstone that is known."""
        self._salt = b""
        self._sessions: dict[str, set[bytes]] = {}
        self._users: dict[str, dict[bytes, int]] = {}
        self._tenants: dict[str, int] = {}

    async def read(self, db: Db) -> None:
        """Read all tombstones."""
        row = await (await db.execute(_SALT)).fetchone()
        assert row is not None
        rows = await (await db.execute(_ALL)).fetchall()
        self.learn(row[0], rows)

    def learn(self, salt: bytes, rows: Sequence[tuple[int, str, str, bytes, datetime]]) -> None:
        """Know these tombstones and no others."""
        self._salt = salt
        self._sessions, self._users, self._tenants = {}, {}, {}
        self.newest = max((number for number, *_ in rows), default=0)
        for _, tenant, kind, told, until in rows:
            if kind == ErasureKind.SESSION:
                self._sessions.setdefault(tenant, set()).add(told)
            elif kind == ErasureKind.TENANT:
                self._tenants[tenant] = int(until.timestamp() * 1_000)
            else:
                self._users.setdefault(tenant, {})[told] = int(until.timestamp() * 1_000)

    def spare(
        self, outcome: BatchOutcome, outbox: Sequence[Record]
    ) -> tuple[BatchOutcome, Sequence[Record], list[Session]]:
        """Return what may be stored and sent, and the sessions of erased users that came up."""
        if not self.newest:
            return outcome, outbox, []
        found = self._sessions_begun_before(outcome)
        gone = {*found, *self._erased(outcome)}
        spared = structs.replace(
            outcome,
            raw=tuple(row for row in outcome.raw if not self._is_erased(row, gone)),
            cells=tuple(
                row
                for row in outcome.cells
                if row.start_ms > self._tenants.get(row.key.tenant, -1)
                and (
                    row.key.grain is not Grain.SESSION
                    or (row.key.tenant, row.key.session_id) not in gone
                )
            ),
            sessions=tuple(
                row for row in outcome.sessions if (row.tenant, row.session_id) not in gone
            ),
            seen=tuple(row for row in outcome.seen if (row.tenant, row.session_id) not in gone),
        )
        marks = [b'"session_id":' + msgspec.json.encode(session) for _, session in gone]
        sent = [record for record in outbox if not any(mark in record.value for mark in marks)]
        return spared, sent, found

    async def add(self, db: Db, sessions: Iterable[Session]) -> None:
        """Set up tombstones for sessions of users that were erased."""
        listed = list(sessions)
        if listed:
            told = [digest(self._salt, *session) for session in listed]
            tenants = [storable.text(tenant) for tenant, _ in listed]
            await db.execute(_ADD, [tenants, told])

    def _sessions_begun_before(self, outcome: BatchOutcome) -> list[Session]:
        """Return the sessions that an erased user or tenant began before the erasing."""
        return [
            (row.tenant, row.session_id)
            for row in outcome.sessions
            if self._is_begun_before(row) and not self._has_stone((row.tenant, row.session_id))
        ]

    def _is_begun_before(self, row: SessionRow) -> bool:
        if row.started_ms <= self._tenants.get(row.tenant, -1):
            return True
        is_known = bool(row.user) and row.tenant in self._users
        return is_known and row.started_ms <= self._until_ms(row.tenant, row.user)

    def _erased(self, outcome: BatchOutcome) -> set[Session]:
        """Return the sessions in an outcome that have a tombstone."""
        named: set[Session] = {(row.tenant, row.session_id) for row in outcome.raw}
        named |= {(row.key.tenant, row.key.session_id) for row in outcome.cells}
        named |= {(row.tenant, row.session_id) for row in outcome.sessions}
        named |= {(row.tenant, row.session_id) for row in outcome.seen}
        return {session for session in named if self._has_stone(session)}

    def _has_stone(self, session: Session) -> bool:
        tenant, name = session
        stones: Mapping[str, set[bytes]] = self._sessions
        return bool(name) and tenant in stones and digest(self._salt, *session) in stones[tenant]

    def _is_erased(self, row: RawRow, gone: set[Session]) -> bool:
        if (row.tenant, row.session_id) in gone:
            return True
        if row.at_ms <= self._tenants.get(row.tenant, -1):
            return True
        if row.tenant not in self._users:
            return False
        try:
            user = _WHO.decode(row.payload).user
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        return bool(user) and row.at_ms <= self._until_ms(row.tenant, user)

    def _until_ms(self, tenant: str, user: str) -> int:
        return self._users[tenant].get(digest(self._salt, tenant, user), -1)
