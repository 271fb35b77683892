"""Agents and holders that come back: whatever the order, each lease ends once and is heard of."""

import pytest

from gateway.pool import values
from tests.support.gateway import gateway
from tests.support.pool_peer import callers, card, leased
from tests.support.publisher_memory import MemoryPublisher


@pytest.mark.requirement("pool-leases")
async def test_what_an_agent_brings_along_goes_before_who_waits() -> None:
    async with callers(gateway(MemoryPublisher()), "ada", "grace") as [agent, holder]:
        asked = holder.ask("pool.acquire", needs={"skill": "code"}, wait_ms=5_000)
        brought = {"lease": "l-old", "holder": "grace", "lasts_ms": 60_000}
        back = await agent.call("pool.register", agent="a", card=card("code"), leases=[brought])
        renewed = await holder.call("pool.renew", lease="l-old")
        await agent.call("pool.result", lease="l-old", answer=1)
        [result] = await holder.told("pool.result")
        granted = await holder.answer(asked)

    assert back["leases"] == ["l-old"]
    assert renewed["lasts_ms"] > 0
    assert result["lease"] == "l-old"
    assert granted["agent"] == "a"


async def test_an_agent_that_is_not_ready_keeps_what_it_brings_along() -> None:
    async with callers(gateway(MemoryPublisher()), "ada") as [agent]:
        brought = {"lease": "l-old", "holder": "grace", "lasts_ms": 60_000}
        back = await agent.call(
            "pool.register", agent="a", card=card("code"), leases=[brought], ready=False
        )
        await agent.call("pool.heartbeat")

    assert back["leases"] == ["l-old"]


@pytest.mark.requirement("pool-leases")
async def test_what_came_of_work_while_its_holder_was_away_is_told_once_it_asks() -> None:
    under_test = gateway(MemoryPublisher())
    async with callers(under_test, "ada") as [agent]:
        async with callers(under_test, "grace") as [holder]:
            lease = await leased(agent, holder)
        await agent.call("pool.result", lease=lease, answer="late")
        async with callers(under_test, "grace", "eve") as [holder, stranger]:
            assert await stranger.call("pool.renew", lease=lease) == values.NOT_HERE.code
            renewed = await holder.call("pool.renew", lease=lease)
            [result] = await holder.told("pool.result")
            again = await holder.call("pool.renew", lease=lease)

    assert renewed == {"lasts_ms": 0}
    assert (result["lease"], result["answer"]) == (lease, "late")
    assert again == values.NOT_HERE.code


@pytest.mark.requirement("pool-leases")
async def test_a_lease_that_was_given_back_does_not_live_again() -> None:
    async with callers(gateway(MemoryPublisher()), "ada", "grace") as [agent, holder]:
        lease = await leased(agent, holder)
        await holder.call("pool.release", lease=lease)
        brought = {"lease": lease, "holder": "grace", "lasts_ms": 60_000}
        back = await agent.call("pool.register", agent="a", card=card("code"), leases=[brought])

    assert back["leases"] == []


async def test_a_holder_on_its_agents_socket_hears_the_result_after_both_came_back() -> None:
    under_test = gateway(MemoryPublisher())
    async with callers(under_test, "ada") as [host]:
        lease = await leased(host, host)
    async with callers(under_test, "ada") as [host]:
        await host.call("pool.register", agent="a", card=card("code"))
        await host.call("pool.renew", lease=lease)
        await host.call("pool.result", lease=lease, answer="done")
        [result] = await host.told("pool.result")

    assert result["answer"] == "done"
