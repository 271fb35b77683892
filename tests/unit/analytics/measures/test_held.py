"""Of the sessions in memory the tenant that has the most gives way first."""

from collections.abc import Sequence

from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.cells import Accumulator
from analytics.measures.held import QUIET_MS, HeldSessions
from analytics.measures.rows import SessionState
from analytics.measures.session_memory import MemoryLimits, SessionKey, SessionMemory

LOUD, CALM = TenantId("loud"), TenantId("calm")


def session(tenant: TenantId, number: int, *, entries: int = 1) -> SessionMemory:
    memory = SessionMemory((tenant, SessionId(f"s{number}")), MemoryLimits(), Accumulator(number))
    memory.ids = {b"%d" % one: None for one in range(entries)}
    memory.shown_state = SessionState.IDLE
    return memory


def held(memories: Sequence[SessionMemory], **limits: int) -> HeldSessions:
    sessions = HeldSessions(**({"sessions_max": 1_000, "remembered_max": 1_000} | limits))
    for memory in memories:
        sessions.add(memory)
    sessions.hear(memories, now_ms=1)
    return sessions


def names(gone: Sequence[SessionMemory]) -> list[SessionKey]:
    return [memory.key for memory in gone]


def test_a_tenant_with_many_sessions_gives_way_to_one_with_few() -> None:
    calm = [session(CALM, number) for number in range(2)]
    loud = [session(LOUD, number) for number in range(10)]
    sessions = held([*calm, *loud], sessions_max=4)

    gone = sessions.shed(())

    assert names(gone) == [memory.key for memory in loud[:8]]
    assert set(sessions.by_key) == {memory.key for memory in (*calm, *loud[8:])}


def test_tenants_with_as_many_give_way_in_turns() -> None:
    sessions = held(
        [session(tenant, n) for tenant in (CALM, LOUD) for n in range(4)], sessions_max=4
    )

    sessions.shed(())

    left = [tenant for tenant, _ in sessions.by_key]
    assert (left.count(CALM), left.count(LOUD)) == (2, 2)


def test_a_tenant_whose_sessions_hold_much_gives_way_to_one_whose_hold_little() -> None:
    calm = [session(CALM, number) for number in range(5)]
    loud = [session(LOUD, number, entries=50) for number in range(3)]
    sessions = held([*loud, *calm], remembered_max=60)

    gone = sessions.shed(())

    assert names(gone) == [memory.key for memory in loud[:2]]
    assert sessions.remembered == 55


def test_what_a_batch_touched_stays_however_much_it_is() -> None:
    loud = [session(LOUD, number) for number in range(10)]
    calm = session(CALM, 1)
    sessions = held([calm, *loud], sessions_max=5)

    gone = sessions.shed({memory.key for memory in loud})

    assert names(gone) == [calm.key]


def test_a_session_that_was_heard_of_again_is_not_the_oldest() -> None:
    loud = [session(LOUD, number) for number in range(3)]
    sessions = held(loud, sessions_max=2)

    sessions.hear(loud[:1], now_ms=2)

    assert names(sessions.shed(())) == [loud[1].key]


def test_sessions_that_were_silent_for_long_leave_once_they_are_shown_as_idle() -> None:
    done, working, fresh = (session(LOUD, number) for number in range(3))
    working.shown_state = SessionState.RUNNING
    working.doing.state = SessionState.RUNNING
    sessions = held([done, working, fresh])
    sessions.hear([fresh], now_ms=2)

    gone = sessions.shed_quiet(now_ms=1 + QUIET_MS, kept=())

    assert names(gone) == [done.key]
    assert sessions.remembered == 2
