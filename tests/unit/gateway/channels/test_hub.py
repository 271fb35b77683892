"""Channels of one gateway over a log in memory."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from gateway.channels.filters import BadFilter, compile_filter
from gateway.channels.values import (
    ChannelPresence,
    ClientInfo,
    HistoryPage,
    Joined,
    Position,
    PublicationPush,
    TagFilter,
)
from gateway.http.auth import Grant, TokenScope
from gateway.protocol import codes
from tests.support.channels import MemoryArchive, MemoryLog, Node, Watcher, grant, node, note


async def _joined(
    there: Node,
    watcher: Watcher,
    *,
    since: Position | None = None,
    tags: TagFilter | None = None,
    who: Grant | None = None,
) -> Joined:
    joined = await there.hub.join(
        watcher, "notes:room", grant=who or grant(), since=since, tags=tags
    )
    assert isinstance(joined, Joined)
    there.hub.live(watcher, "notes:room")
    return joined


def _filled(count: int) -> MemoryLog:
    log = MemoryLog()
    for number in range(count):
        log.add(note("room", str(number)))
    return log


async def test_who_comes_back_is_told_from_memory_what_it_missed() -> None:
    log = _filled(5)

    joined = await _joined(node(log), Watcher(), since=Position(log.epoch, 2))

    assert joined.recovered
    assert joined.offset == 2
    assert [one.data for one in joined.publications] == [b"2", b"3", b"4"]


@pytest.mark.requirement("recovered-on-another-gateway")
async def test_what_memory_has_forgotten_is_read_from_the_log_once_for_all() -> None:
    log = _filled(50)
    archive = MemoryArchive(log)
    archive.pauses = 3
    there = node(log, [archive], warm=1, records_max=5)

    answers = await asyncio.gather(
        *(_joined(there, Watcher(f"c{n}"), since=Position(log.epoch, 10)) for n in range(20))
    )

    for joined in answers:
        assert [one.offset for one in joined.publications] == list(range(11, 51))
    assert archive.reads == 1


async def test_a_gap_is_said_and_nothing_is_told_in_part() -> None:
    log = _filled(50)
    log.cut(20)

    joined = await _joined(node(log, [MemoryArchive(log)]), Watcher(), since=Position("log-1", 10))

    assert joined.was_recovering
    assert not joined.recovered
    assert joined.publications == ()
    assert joined.offset == 50


async def test_more_than_may_be_handed_over_is_a_gap() -> None:
    log = _filled(50)

    joined = await _joined(node(log, publications_max=39), Watcher(), since=Position("log-1", 10))

    assert not joined.recovered


async def test_who_missed_nothing_is_moved_to_the_top() -> None:
    log = _filled(3)
    log.add(note("elsewhere", "1"))

    joined = await _joined(node(log), Watcher(), since=Position(log.epoch, 3))

    assert joined.recovered
    assert (joined.offset, joined.publications) == (4, ())


async def test_a_position_of_another_log_or_beyond_its_end_is_a_gap() -> None:
    log = _filled(3)
    there = node(log)

    other = await _joined(there, Watcher("c1"), since=Position("other", 1))
    beyond = await _joined(there, Watcher("c2"), since=Position(log.epoch, 99))

    assert (other.recovered, beyond.recovered) == (False, False)


@pytest.mark.requirement("channels-tenant-safe")
async def test_another_tenant_hears_and_is_told_nothing() -> None:
    log = _filled(3)
    there, stranger = node(log), Watcher()

    joined = await _joined(there, stranger, since=Position(log.epoch, 0), who=grant("evil"))
    log.add(note("room", "secret"))
    there.source.pull()
    past = await there.hub.history(
        "notes:room", grant=grant("evil"), limit=-1, since=None, reverse=False
    )
    who = await there.hub.presence("notes:room", grant=grant())

    assert joined.publications == ()
    assert stranger.heard == []
    assert isinstance(past, HistoryPage)
    assert past.publications == ()
    assert who == ChannelPresence({})


async def test_who_is_in_a_channel_is_told_on_and_taken_back() -> None:
    told: list[tuple[str, ...]] = []

    class Roll:
        def entered(self, tenant: str, channel: str, who: ClientInfo) -> None:
            told.append(("entered", tenant, channel, who.client))

        def left(self, tenant: str, channel: str, client: str) -> None:
            told.append(("left", tenant, channel, client))

    there, watcher = node(MemoryLog(), roll=Roll()), Watcher()
    await _joined(there, watcher)
    assert await there.hub.presence("notes:room", grant=grant()) == ChannelPresence(
        {"c1": watcher.who}
    )
    there.hub.leave_all(watcher)
    there.hub.leave(watcher, "notes:room")

    assert told == [("entered", "acme", "notes:room", "c1"), ("left", "acme", "notes:room", "c1")]


async def test_one_event_is_encoded_once_for_everybody() -> None:
    log = MemoryLog()
    there, watchers = node(log), [Watcher(f"c{n}") for n in range(3)]
    for watcher in watchers:
        await _joined(there, watcher)

    log.add(note("room", "1"))
    there.source.pull()

    made: list[PublicationPush] = []

    class Encoder:
        def encode(self, outbound: PublicationPush, /) -> bytes:
            made.append(outbound)
            return b"frame"

    encoder = Encoder()
    assert [watcher.events[0].by(encoder) for watcher in watchers] == [b"frame"] * 3
    assert len(made) == 1


async def test_a_filter_lets_through_what_it_names_live_and_recovered() -> None:
    log, wanted = MemoryLog(), TagFilter(key="grain", cmp="ex")
    there = node(log)
    watcher = Watcher()
    joined = await _joined(there, watcher, tags=replace(wanted, cmp="nex"))

    log.add(note("room", "1"))
    there.source.pull()
    none = await _joined(there, Watcher("c2"), since=Position(joined.epoch, 0), tags=wanted)

    assert watcher.data == ["1"]
    assert none.recovered
    assert none.publications == ()


async def test_a_log_that_was_replaced_sends_everybody_to_come_again() -> None:
    log = _filled(3)
    there, watcher = node(log), Watcher()
    await _joined(there, watcher)

    log.replace()
    there.source.pull()

    assert watcher.cuts == [("notes:room", 2500)]
    assert len(there.hub) == 0


async def test_what_is_published_is_acknowledged_by_the_log_first() -> None:
    there = node(MemoryLog())
    there.publisher.hold()

    publishing = asyncio.create_task(
        there.hub.publish("notes:room", b'{"a": 1}', grant=grant(), info=Watcher().who)
    )
    await asyncio.sleep(0)
    assert not publishing.done()
    there.publisher.acknowledge_all()

    assert await publishing is None
    [record] = there.publisher.records
    assert record.key == b"acme/room"
    assert json.loads(record.value)["data"] == '{"a": 1}'


@pytest.mark.parametrize(
    ("channel", "data", "fault"),
    [
        ("notes:room", b"{", codes.BAD_CALL),
        ("metrics:fleet", b"1", codes.UNSERVED),
        ("nothing:here", b"1", codes.UNKNOWN_CHANNEL),
    ],
)
async def test_what_may_not_be_published_is_refused(
    channel: str, data: bytes, fault: codes.ErrorReply
) -> None:
    there = node(MemoryLog())

    assert await there.hub.publish(channel, data, grant=grant(), info=Watcher().who) == fault


async def test_a_token_without_the_scope_neither_watches_nor_publishes() -> None:
    there, reader = node(MemoryLog()), grant("acme", TokenScope.WORK)

    watched = await there.hub.join(Watcher(), "notes:a", grant=reader, since=None, tags=None)
    written = await there.hub.publish("notes:a", b"1", grant=reader, info=Watcher().who)

    assert watched == written == codes.PERMISSION_DENIED


@pytest.mark.parametrize("name", ["alerts:x", "notes", "notes:", "metrics:", "tasks:a", "x", ""])
async def test_a_name_that_stands_for_nothing_is_an_unknown_channel(name: str) -> None:
    there = node(MemoryLog())

    answer = await there.hub.join(Watcher(), name, grant=grant(), since=None, tags=None)

    assert answer == codes.UNKNOWN_CHANNEL


async def test_the_past_comes_forwards_backwards_and_from_a_position() -> None:
    log = _filled(5)
    there = node(log)

    async def past(limit: int, since: int | None, *, reverse: bool) -> list[bytes]:
        at = None if since is None else Position(log.epoch, since)
        found = await there.hub.history(
            "notes:room", grant=grant(), limit=limit, since=at, reverse=reverse
        )
        assert isinstance(found, HistoryPage)
        assert found.offset == 5
        return [one.data for one in found.publications]

    assert await past(0, None, reverse=False) == []
    assert await past(2, None, reverse=False) == [b"0", b"1"]
    assert await past(2, None, reverse=True) == [b"4", b"3"]
    assert await past(-1, 3, reverse=False) == [b"3", b"4"]
    assert await past(-1, 3, reverse=True) == [b"1", b"0"]
    assert (
        await there.hub.history(
            "notes:room", grant=grant(), limit=1, since=Position("x", 1), reverse=False
        )
        == codes.UNRECOVERABLE
    )


@pytest.mark.parametrize(
    ("tree", "tags", "holds"),
    [
        (TagFilter(key="a", cmp="eq", val="1"), {"a": "1"}, True),
        (TagFilter(key="a", cmp="neq", val="1"), {}, True),
        (TagFilter(key="a", cmp="in", vals=("1", "2")), {"a": "2"}, True),
        (TagFilter(key="a", cmp="nin", vals=("1",)), {"a": "1"}, False),
        (TagFilter(key="a", cmp="gte", val="10"), {"a": "9"}, False),
        (TagFilter(key="a", cmp="lt", val="10"), {"a": "9.5"}, True),
        (TagFilter(key="a", cmp="gt", val="1"), {"a": "x"}, False),
        (TagFilter(key="a", cmp="sw", val="cl"), {"a": "claude"}, True),
        (TagFilter(op="not", nodes=(TagFilter(key="a", cmp="ex"),)), {}, True),
        (
            TagFilter(
                op="or",
                nodes=(TagFilter(key="a", cmp="ex"), TagFilter(key="b", cmp="eq", val="1")),
            ),
            {"b": "1"},
            True,
        ),
    ],
)
def test_a_filter_means_what_the_protocol_says(
    tree: TagFilter, tags: dict[str, str], holds: bool
) -> None:
    assert compile_filter(tree)(tags) is holds


@pytest.mark.parametrize(
    "tree",
    [
        TagFilter(op="xor"),
        TagFilter(op="and"),
        TagFilter(key="a", cmp="like"),
        TagFilter(key="a", cmp="gt", val="many"),
        TagFilter(cmp="eq"),
        TagFilter(op="and", nodes=(TagFilter(key="a", cmp="ex"),) * 65),
    ],
)
def test_a_filter_without_a_meaning_is_refused(tree: TagFilter) -> None:
    with pytest.raises(BadFilter):
        compile_filter(tree)
