"""What waits for a slow reader: bounded, and whatever is left out is told."""

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.websocket.send_buffer import Outbox, Policies, SlowPeerPolicy

BYTES_MAX = 4_096
MS_MAX = 1_000
CHANNELS = ("", "a", "b", "c")
PUTS = st.lists(
    st.tuples(st.sampled_from(CHANNELS), st.integers(1, 400), st.integers(0, 200)), max_size=60
)


def _outbox(policy: SlowPeerPolicy) -> Outbox:
    return Outbox(bytes_max=BYTES_MAX, ms_max=MS_MAX, policies=Policies(policy))


def _notice(channel: str, missing: int) -> bytes:
    return json.dumps(["gap", channel, missing]).encode()


def _write(channel: str, number: int, size: int) -> bytes:
    return json.dumps([channel, number, "x" * size]).encode()


@settings(deadline=None)
@given(puts=PUTS, policy=st.sampled_from([SlowPeerPolicy.LATEST, SlowPeerPolicy.OLDEST]))
def test_what_is_left_out_is_told_in_its_place_and_the_rest_keeps_its_order(
    puts: list[tuple[str, int, int]], policy: SlowPeerPolicy
) -> None:
    outbox, now_ms, put = _outbox(policy), 0, []
    for number, (channel, size, pause_ms) in enumerate(puts):
        now_ms += pause_ms
        put.append(channel)
        if not outbox.put(_write(channel, number, size), now_ms=now_ms, channel=channel):
            break
        assert outbox.bytes_waiting <= BYTES_MAX

    seen: dict[str, list[int]] = {channel: [] for channel in CHANNELS}
    missing: Counter[str] = Counter()
    while outbox:
        for data in outbox.take(bytes_max=100, notice=_notice):
            first, second, *rest = json.loads(data)
            if first == "gap":
                missing[second] += rest[0]
            else:
                seen[first].append(second)

    sent = Counter(put)
    for channel in CHANNELS:
        assert seen[channel] == sorted(seen[channel])
        assert len(seen[channel]) + missing[channel] == sent[channel]
    assert missing[""] == 0
    assert outbox.dropped == missing.total()
    assert outbox.bytes_waiting == 0


def test_without_a_policy_to_thin_it_the_bound_is_said_to_be_passed() -> None:
    outbox = _outbox(SlowPeerPolicy.CLOSE)

    assert outbox.put(b"x" * BYTES_MAX, now_ms=0, channel="a")
    assert not outbox.put(b"x", now_ms=0, channel="a")
    assert outbox.dropped == 0


def test_what_waits_too_long_is_out_of_bounds_however_small() -> None:
    outbox = _outbox(SlowPeerPolicy.CLOSE)

    assert outbox.put(b"x", now_ms=0)
    assert outbox.put(b"x", now_ms=MS_MAX)
    assert not outbox.put(b"x", now_ms=MS_MAX + 1)


def test_replies_are_never_thinned() -> None:
    outbox = _outbox(SlowPeerPolicy.OLDEST)

    assert outbox.put(b"x" * BYTES_MAX, now_ms=0)
    assert not outbox.put(b"x", now_ms=0)


def test_the_latest_of_each_channel_is_kept_after_a_notice_of_what_was_before() -> None:
    outbox = _outbox(SlowPeerPolicy.LATEST)
    for number in range(20):
        assert outbox.put(b"%d" % number + b"x" * 300, now_ms=0, channel="ab"[number % 2])

    taken = outbox.take(bytes_max=10_000, notice=_notice)

    told = [json.loads(one) for one in taken if one.startswith(b"[")]
    assert {channel for _, channel, _ in told} == {"a", "b"}
    assert taken[-1].startswith(b"19x")
    assert sum(count for *_, count in told) == outbox.dropped


@settings(deadline=None)
@given(puts=PUTS)
def test_each_namespace_is_thinned_by_its_own_policy_and_one_that_closes_not_at_all(
    puts: list[tuple[str, int, int]],
) -> None:
    policies = Policies(
        SlowPeerPolicy.CLOSE, {"a": SlowPeerPolicy.LATEST, "b": SlowPeerPolicy.OLDEST}
    )
    outbox = Outbox(bytes_max=BYTES_MAX, ms_max=MS_MAX, policies=policies)
    now_ms, sent = 0, Counter[str]()
    for number, (namespace, size, pause_ms) in enumerate(puts):
        now_ms += pause_ms
        channel = f"{namespace}:x" if namespace else ""
        sent[channel] += 1
        if not outbox.put(_write(channel, number, size), now_ms=now_ms, channel=channel):
            break
        assert outbox.bytes_waiting <= BYTES_MAX

    seen, missing = Counter[str](), Counter[str]()
    while outbox:
        for data in outbox.take(bytes_max=100, notice=_notice):
            first, second, *rest = json.loads(data)
            if first == "gap":
                missing[second] += rest[0]
            else:
                seen[first] += 1
    assert set(missing) <= {"a:x", "b:x"}
    assert seen + missing == sent
    assert outbox.dropped == missing.total()


def test_what_may_be_thinned_makes_room_for_what_may_not() -> None:
    policies = Policies(SlowPeerPolicy.CLOSE, {"metrics": SlowPeerPolicy.LATEST})
    outbox = Outbox(bytes_max=BYTES_MAX, ms_max=MS_MAX, policies=policies)
    for _ in range(20):
        assert outbox.put(b"m" * 200, now_ms=0, channel="metrics:fleet")
        assert outbox.put(b"n" * 100, now_ms=0, channel="notes:room")

    told = outbox.take(bytes_max=100_000, notice=_notice)
    assert told.count(b"n" * 100) == 20
    assert 0 < outbox.dropped < 20
    assert told.count(b"m" * 200) + outbox.dropped == 20
