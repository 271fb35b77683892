"""Agents and those who have work, over sockets: leases, messages, and who may do what."""

import pytest

from analytics.contracts import events, topics
from analytics.contracts.events import ConnectionClosed, ConnectionOpened
from analytics.contracts.ids import TenantId
from apps.docs import pool_page
from gateway.http.auth import TokenScope
from gateway.pool.calls import methods
from tests.support.gateway import Clock, gateway, token, until
from tests.support.peer import connected
from tests.support.pool_peer import Caller, callers, card, leased
from tests.support.publisher_memory import MemoryPublisher


async def test_work_reaches_the_agent_and_its_answer_the_holder() -> None:
    async with callers(gateway(MemoryPublisher()), "ada", "grace") as [agent, holder]:
        registered = await agent.call("pool.register", agent="a", card=card("code"))
        acquired = await holder.call(
            "pool.acquire", needs={"skill": "code"}, task={"do": "it"}, lease_ms=5_000
        )
        [work] = await agent.told("pool.work")
        await agent.call("pool.result", lease=work["lease"], answer={"done": [1, 2]})
        [result] = await holder.told("pool.result")

    assert registered == {
        "agent": "a", "state": "ready", "heartbeat_ms": 10_000, "suspend_ms": 30_000, "leases": [],
    }  # fmt: skip
    assert acquired == {"lease": work["lease"], "agent": "a", "lasts_ms": 5_000}
    assert (work["task"], work["agent"], work["holder"]) == ({"do": "it"}, "a", "grace")
    assert (result["outcome"], result["answer"]) == ("done", {"done": [1, 2]})


async def test_many_agents_share_a_socket_and_each_hears_of_its_own_work() -> None:
    async with callers(gateway(MemoryPublisher()), "ada", "grace") as [host, holder]:
        for number in range(20):
            await host.call("pool.register", agent=f"a{number}", card=card(f"skill-{number}"))
        for number in range(20):
            await holder.call("pool.acquire", needs={"skill": f"skill-{number}"})
        works = await host.told("pool.work", count=20)
        beaten = await host.call("pool.heartbeat")

    assert [work["agent"] for work in works] == [f"a{number}" for number in range(20)]
    assert beaten == {"unknown": []}


async def test_who_waits_is_served_when_an_agent_comes() -> None:
    async with callers(gateway(MemoryPublisher()), "ada", "grace") as [agent, holder]:
        waiting = holder.ask("pool.acquire", wait_ms=5_000)
        assert await holder.call("pool.acquire") == 432
        await agent.call("pool.register", agent="a", card=card("code"))
        acquired = await holder.answer(waiting)

    assert acquired["agent"] == "a"


@pytest.mark.requirement("limits-have-names")
async def test_waiting_ends_by_the_clock_of_the_gateway() -> None:
    clock = Clock()
    under_test = gateway(MemoryPublisher(), clock, pool_waiting_max=1)
    async with callers(under_test, "grace") as [holder]:
        waiting = holder.ask("pool.acquire", wait_ms=2_000)
        assert await holder.call("pool.acquire", wait_ms=2_000) == 434
        clock.now_ms += 2_250
        under_test.sessions.wheel.turn()

        assert await holder.answer(waiting) == 433


@pytest.mark.requirement("pool-leases")
async def test_a_holder_that_gives_a_lease_back_frees_the_agent_and_tells_it() -> None:
    async with callers(gateway(MemoryPublisher()), "ada", "grace") as [agent, holder]:
        lease = await leased(agent, holder)

        await holder.call("pool.release", lease=lease)
        [recalled] = await agent.told("pool.recall")
        assert await agent.call("pool.result", lease=lease) == 430
        again = await holder.call("pool.acquire")

    assert (recalled["lease"], recalled["outcome"]) == (lease, "released")
    assert again["agent"] == "a"


@pytest.mark.requirement("pool-leases")
async def test_an_agent_that_comes_back_has_its_work_and_is_sent_what_it_did_not_name() -> None:
    under_test = gateway(MemoryPublisher())
    async with callers(under_test, "ada", "grace", "ada") as [agent, holder, other]:
        lease = await leased(agent, holder)
        agent.peer.leave()
        await until(lambda: len(under_test.sessions) == 2)

        back = await other.call("pool.register", agent="a", card=card("code"))
        [work] = await other.told("pool.work")
        await other.call("pool.result", lease=lease, answer=1)
        [result] = await holder.told("pool.result")

    assert (back["state"], back["leases"]) == ("active", [lease])
    assert (work["lease"], work["task"]) == (lease, {"do": "it"})
    assert result["outcome"] == "done"


@pytest.mark.requirement("pool-leases")
async def test_an_agent_brings_its_lease_to_another_gateway_and_the_holder_follows() -> None:
    first, second = gateway(MemoryPublisher()), gateway(MemoryPublisher())
    async with callers(first, "ada", "grace") as [agent, holder]:
        lease = await leased(agent, holder)

    async with callers(second, "ada", "grace") as [agent, holder]:
        back = await agent.call(
            "pool.register", agent="a", card=card("code"),
            leases=[{"lease": lease, "holder": "grace", "lasts_ms": 9_000}],
        )  # fmt: skip
        renewed = await holder.call("pool.renew", lease=lease, lease_ms=20_000)
        await agent.call("pool.result", lease=lease, answer="kept")
        [result] = await holder.told("pool.result")

    assert (back["leases"], renewed) == ([lease], {"lasts_ms": 20_000})
    assert (result["outcome"], result["answer"]) == ("done", "kept")


async def test_an_agent_that_does_not_come_back_loses_its_work_and_the_holder_is_told() -> None:
    clock = Clock()
    under_test = gateway(MemoryPublisher(), clock, pool_suspend_seconds=5)
    async with callers(under_test, "ada", "grace") as [agent, holder]:
        lease = await leased(agent, holder)
        agent.peer.leave()
        await until(lambda: len(under_test.sessions) == 1)
        clock.now_ms += 5_500
        under_test.sessions.wheel.turn()
        [result] = await holder.told("pool.result")

    assert (result["lease"], result["outcome"], result["answer"]) == (lease, "lost", None)


async def test_a_silent_agent_is_told_where_it_is_and_a_heartbeat_brings_it_back() -> None:
    clock = Clock()
    under_test = gateway(MemoryPublisher(), clock, pool_heartbeat_seconds=2)
    async with callers(under_test, "ada") as [agent]:
        await agent.call("pool.register", agent="a", card=card("code"))
        clock.now_ms += 4_500
        under_test.sessions.wheel.turn()
        [told] = await agent.told("pool.state")
        beaten = await agent.call("pool.heartbeat", agents=["a", "nobody"])
        registered = await agent.call("pool.register", agent="a", card=card("code"))

    assert told == {"type": "pool.state", "agent": "a", "state": "unhealthy", "signal": "missed"}
    assert (beaten, registered["state"]) == ({"unknown": ["nobody"]}, "ready")


async def test_an_agent_drains_by_its_own_will_and_another_leaves_at_once() -> None:
    async with callers(gateway(MemoryPublisher()), "ada", "grace") as [agent, holder]:
        lease = await leased(agent, holder)
        assert await agent.call("pool.drain", agent="a") == {"state": "draining"}
        assert await holder.call("pool.acquire") == 432
        await agent.call("pool.result", lease=lease)
        assert await agent.call("pool.drain", agent="a") == 431
        await agent.call("pool.register", agent="b", card=card("code"))

        assert await agent.call("pool.leave", agent="b") == {"state": "closed"}


@pytest.mark.requirement("tenant-isolated")
async def test_another_tenant_has_another_pool_though_the_names_are_the_same() -> None:
    under_test = gateway(MemoryPublisher())
    async with (
        callers(under_test, "ada", "grace") as [agent, holder],
        connected(under_test) as peer,
    ):
        other = Caller(peer)
        await other.hello(user="grace", tenant=TenantId("umbrella"))
        lease = await leased(agent, holder)

        assert await other.call("pool.acquire") == 432
        assert await other.call("pool.release", lease=lease) == 430
        assert await other.call("pool.renew", lease=lease) == 438
        await other.call("pool.register", agent="a", card=card("code"))
        assert (await other.call("pool.acquire", task="theirs"))["agent"] == "a"
        assert [work["task"] for work in agent.messages("pool.work")] == [{"do": "it"}]
        assert await other.call("pool.result", lease=lease) == 430


async def test_only_who_it_belongs_to_may_touch_an_agent_or_a_lease() -> None:
    async with callers(gateway(MemoryPublisher()), "ada", "grace", "eve") as [agent, holder, eve]:
        lease = await leased(agent, holder)

        assert await eve.call("pool.register", agent="a", card=card("code")) == 103
        assert await eve.call("pool.drain", agent="a") == 431
        assert await eve.call("pool.release", lease=lease) == 430
        assert await eve.call("pool.renew", lease=lease) == 438
        assert await eve.call("pool.result", lease=lease) == 430
        assert await holder.call("pool.result", lease=lease) == 430
        assert await agent.call("pool.release", lease=lease) == 430


async def test_a_token_without_the_scope_may_not_work() -> None:
    async with connected(gateway(MemoryPublisher())) as peer:
        caller = Caller(peer)
        bearer = token(scopes=[TokenScope.PUBLISH, TokenScope.ADMIN])
        peer.say({"id": 1, "connect": {"token": bearer}})

        assert await caller.call("pool.register", card=card("code")) == 103
        assert await caller.call("pool.acquire") == 103


@pytest.mark.parametrize(
    "data",
    [
        {}, {"card": {"name": ""}}, {"card": card("x"), "capacity": 0},
        {"card": card("x"), "weight": -1}, {"card": card("x"), "agent": "a" * 201},
    ],
)  # fmt: skip
async def test_a_call_that_makes_no_sense_is_refused_with_the_reason(
    data: dict[str, object],
) -> None:
    async with callers(gateway(MemoryPublisher()), "ada") as [agent]:
        assert await agent.call("pool.register", **data) == 107


@pytest.mark.requirement("limits-have-names")
async def test_past_each_limit_a_call_is_refused() -> None:
    under_test = gateway(
        MemoryPublisher(), pool_sessions_max=1, pool_task_bytes_max=64, pool_members_max=2,
        pool_tenants_max=1,
    )  # fmt: skip
    async with (
        callers(under_test, "ada", "ada", "ada") as [first, second, third],
        connected(under_test) as peer,
    ):
        stranger = Caller(peer)
        await stranger.hello(tenant=TenantId("umbrella"))
        await first.call("pool.register", agent="a", card=card("code"))

        assert await first.call("pool.register", agent="b", card=card("code")) == 435
        await second.call("pool.register", agent="b", card=card("code"))
        assert await third.call("pool.register", agent="c", card=card("code")) == 435
        assert await third.call("pool.acquire", task="x" * 80) == 107
        assert await stranger.call("pool.register", agent="a", card=card("code")) == 435
        assert await stranger.call("pool.acquire") == 435


async def test_a_gateway_that_stops_gives_no_more_work_and_answers_who_waits() -> None:
    under_test = gateway(MemoryPublisher())
    async with callers(under_test, "grace") as [holder]:
        waiting = holder.ask("pool.acquire", wait_ms=60_000)
        await until(lambda: under_test.pools.known(TenantId("acme")).waiting)

        await under_test.drain()

        assert await holder.answer(waiting) == 437
        assert holder.peer.closed_with == 3001


async def test_who_waited_and_left_gets_no_agent() -> None:
    under_test = gateway(MemoryPublisher())
    async with callers(under_test, "grace", "ada") as [holder, agent]:
        holder.ask("pool.acquire", wait_ms=60_000)
        await until(lambda: under_test.pools.known(TenantId("acme")).waiting)
        holder.peer.leave()
        await until(lambda: len(under_test.sessions) == 1)
        await agent.call("pool.register", agent="a", card=card("code"))

        assert not under_test.pools.known(TenantId("acme")).leases


async def test_each_life_of_an_agent_is_told_to_the_log() -> None:
    publisher = MemoryPublisher()
    async with callers(gateway(publisher), "ada") as [agent]:
        for _ in range(2):
            await agent.call("pool.register", agent="a", card=card("code"))
            await agent.call("pool.leave", agent="a")

    told = [
        events.decode(record.value)
        for record in publisher.records
        if record.topic == topics.CONNECTIONS.address
    ]
    opened = [one for one in told if isinstance(one, ConnectionOpened) and one.client == "a"]
    names = [one.connection_id for one in opened]
    closed = [
        one for one in told if isinstance(one, ConnectionClosed) and one.connection_id in names
    ]
    assert len(set(names)) == 2
    assert [(one.transport, one.user) for one in opened] == [("pool", "ada")] * 2
    assert [one.reason for one in closed] == ["removed"] * 2


async def test_word_of_a_failing_upstream_elsewhere_lets_probes_through_only() -> None:
    clock = Clock()
    under_test = gateway(MemoryPublisher(), clock)
    async with callers(under_test, "ada", "grace") as [agent, holder]:
        await agent.call(
            "pool.register", agent="a", card=card("code"), capacity=9, upstreams=["models"]
        )
        under_test.pools.elsewhere = lambda: [{"acme/models": "open", "acme/other": "open"}]
        clock.now_ms += 1_250
        under_test.sessions.wheel.turn()

        answers = [await holder.call("pool.acquire") for _ in range(4)]

    assert [isinstance(answer, dict) for answer in answers] == [True, True, True, False]
    assert under_test.pools.open_breakers() == {"acme/models": "half_open"}


async def test_the_page_tells_of_every_method_and_its_example_works() -> None:
    under_test = gateway(MemoryPublisher())
    assert {f"pool.{name}" for name in pool_page.METHODS} == set(methods(under_test.pools))

    async with callers(under_test, "ada", "grace") as [agent, holder]:
        parties = {"agent": agent, "holder": holder}
        lease = ""
        for who, method, data in pool_page.EXAMPLE:
            told = {**data, **({"lease": lease} if "lease" in data else {})}
            answer = await parties[who].call(f"pool.{method}", **told)
            lease = answer.get("lease", lease)
        [result] = await holder.told("pool.result")

    assert result["answer"] == {"done": True}
