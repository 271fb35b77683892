"""What an operator sees of a pool over HTTP, and changes in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from analytics.contracts.ids import TenantId
from gateway.app import Gateway
from gateway.http.auth import TokenScope
from tests.support.gateway import client, gateway, token
from tests.support.peer import connected
from tests.support.pool_peer import Caller, card
from tests.support.publisher_memory import MemoryPublisher

ADMIN = (TokenScope.ADMIN,)


@asynccontextmanager
async def _operated(
    under_test: Gateway, *, scopes: tuple[TokenScope, ...] = ADMIN, tenant: str = "acme"
) -> AsyncIterator[tuple[httpx.AsyncClient, Caller, str]]:
    bearer = token(scopes=scopes, tenant=TenantId(tenant))
    async with connected(under_test) as peer, client(under_test, bearer=bearer) as http:
        agent = Caller(peer)
        name = await agent.hello()
        await agent.call("pool.register", agent="a", card=card("code"), capacity=2)
        yield http, agent, name


async def test_the_pool_is_shown_with_its_agents_leases_and_rules() -> None:
    async with _operated(gateway(MemoryPublisher())) as (http, agent, name):
        await agent.call("pool.acquire")
        shown = (await http.get("/v1/pool")).json()
        counted = (await http.get("/v1/pool", params={"limit": 0})).json()

    assert (shown["states"], shown["leases"], shown["waiting"]) == ({"active": 1}, 1, 0)
    assert shown["agents"] == [
        {
            "id": "a", "kind": "agent", "state": "active", "name": "agent", "user": "ada",
            "connection_id": name, "skills": ["code"], "capacity": 2, "in_flight": 1,
            "latency_ms": 0.0, "breaker": "closed", "ejected": False,
        }
    ]  # fmt: skip
    assert shown["rules"]["algorithm"] == "two_choices"
    assert counted["agents"] == []


@pytest.mark.requirement("tenant-isolated")
async def test_another_tenant_sees_and_closes_nothing() -> None:
    async with _operated(gateway(MemoryPublisher()), tenant="umbrella") as (http, _, name):
        shown = (await http.get("/v1/pool")).json()
        answers = [
            (await http.request(method, f"/v1/connections/{one}")).status_code
            for method in ("GET", "DELETE")
            for one in ("a", name)
        ]

    assert (shown["states"], shown["agents"]) == ({}, [])
    assert answers == [404] * 4


async def test_health_says_whether_there_are_as_many_as_are_wanted() -> None:
    async with _operated(gateway(MemoryPublisher(), pool_members_min=2)) as (http, agent, _):
        short = await http.get("/v1/pool/health")
        await agent.call("pool.register", agent="b", card=card("code"))
        enough = await http.get("/v1/pool/health")

    assert (short.status_code, short.json()["able"], short.json()["wanted"]) == (503, 1, 2)
    assert (enough.status_code, enough.json()["healthy"]) == (200, True)


async def test_rules_are_changed_in_part_for_one_tenant_only() -> None:
    under_test = gateway(MemoryPublisher())
    async with _operated(under_test) as (http, _, _):
        changed = await http.patch(
            "/v1/pool/config", json={"algorithm": "round_robin", "breaker": {"probes": 5}}
        )
        shown = (await http.get("/v1/pool")).json()
        bearer = token(scopes=ADMIN, tenant=TenantId("umbrella"))
        async with client(under_test, bearer=bearer) as other:
            theirs = (await other.get("/v1/pool")).json()

    assert changed.status_code == 200
    assert shown["rules"] == changed.json()
    assert (shown["rules"]["algorithm"], shown["rules"]["breaker"]["probes"]) == ("round_robin", 5)
    assert theirs["rules"]["algorithm"] == "two_choices"


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        ('{"algorithm": "guess"}', "application/json", 400),
        ('{"members_min": 9, "members_max": 3}', "application/merge-patch+json", 400),
        ('{"nothing_such": 1}', "application/json", 400),
        ("[1]", "application/json", 400),
        ("{torn", "application/json", 400),
        ("{}", "text/plain", 415),
        ("{}", "application/merge-patch+json", 200),
    ],
)
async def test_a_patch_that_makes_no_sense_is_a_problem(body: str, media: str, status: int) -> None:
    async with client(gateway(MemoryPublisher()), bearer=token(scopes=ADMIN)) as http:
        answer = await http.patch("/v1/pool/config", content=body, headers={"content-type": media})

    assert answer.status_code == status
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_socket_and_an_agent_on_it_are_shown_by_name() -> None:
    async with _operated(gateway(MemoryPublisher())) as (http, _, name):
        socket = (await http.get(f"/v1/connections/{name}")).json()
        agent = (await http.get("/v1/connections/a")).json()
        nobody = await http.get("/v1/connections/nobody")

    assert (socket["kind"], socket["user"], socket["agents"]) == ("socket", "ada", ["a"])
    assert (agent["kind"], agent["connection_id"]) == ("agent", name)
    assert (nobody.status_code, nobody.json()["type"]) == (404, "urn:mainstem:problem:not-found")


async def test_a_deleted_agent_finishes_first_and_a_deleted_socket_is_closed() -> None:
    under_test = gateway(MemoryPublisher())
    async with _operated(under_test) as (http, agent, name):
        lease = (await agent.call("pool.acquire"))["lease"]
        assert (await http.delete("/v1/connections/a")).status_code == 204
        assert (await http.get("/v1/connections/a")).json()["state"] == "draining"
        await agent.call("pool.result", lease=lease)
        assert (await http.get("/v1/connections/a")).status_code == 404

        assert (await http.delete(f"/v1/connections/{name}")).status_code == 204
        await agent.peer.until(lambda: agent.peer.closed_with)

    assert agent.peer.closed_with == 3503


@pytest.mark.parametrize(
    ("scopes", "looks", "changes"),
    [
        ((TokenScope.ADMIN,), 200, 200),
        ((TokenScope.WORK,), 200, 403),
        ((TokenScope.PUBLISH, TokenScope.SUBSCRIBE), 403, 403),
    ],
)
async def test_looking_needs_one_scope_and_changing_another(
    scopes: tuple[TokenScope, ...], looks: int, changes: int
) -> None:
    async with client(gateway(MemoryPublisher()), bearer=token(scopes=scopes)) as http:
        looked = [(await http.get(path)).status_code for path in ("/v1/pool", "/v1/pool/health")]
        changed = (await http.patch("/v1/pool/config", json={})).status_code
        closed = (await http.delete("/v1/connections/x")).status_code

    assert looked == [looks] * 2
    assert changed == changes
    assert closed == (404 if changes == 200 else 403)


async def test_without_a_token_nothing_is_shown() -> None:
    async with client(gateway(MemoryPublisher())) as http:
        assert (await http.get("/v1/pool")).status_code == 401
