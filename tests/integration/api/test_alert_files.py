"""Files of alerts over HTTP: kept on conditions, shown without secrets, by the right scope."""

from typing import Final

import httpx
import pytest

from analytics.contracts.ids import TenantId
from gateway.http.auth import TokenScope
from tests.integration.api.conftest import Clients

pytestmark = pytest.mark.embedded

FILES: Final = "/v1/alerts/files"
RULES: Final = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: cost_usd_total > 1}\n"
BAD: Final = RULES.replace("> 1", "> >")
ROUTING: Final = """
route: {receiver: ops}
receivers: [{name: ops, webhook_configs: [{url: "https://h.example/SECRET"}]}, {name: quiet}]
"""


async def _put(http: httpx.AsyncClient, name: str, body: str, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await http.put(f"{FILES}/{name}", content=body, headers=given)


@pytest.mark.requirement("alert-files-api")
async def test_a_file_is_kept_listed_shown_and_removed(client: Clients) -> None:
    async with client(scope=TokenScope.ADMIN) as admin, client() as reader:
        made = await _put(admin, "team/m.yml", ROUTING)
        again = await _put(admin, "team/m.yml", ROUTING)
        listed = (await reader.get(FILES)).json()["files"]
        shown = await reader.get(f"{FILES}/team/m.yml")
        unchanged = await reader.get(
            f"{FILES}/team/m.yml", headers={"If-None-Match": shown.headers["etag"]}
        )
        back = await _put(admin, "team/m.yml", shown.text)
        gone = await admin.delete(f"{FILES}/team/m.yml")
        missing = await reader.get(f"{FILES}/team/m.yml")

    assert (made.status_code, made.json()["change"], made.json()["kind"]) == (
        201,
        "added",
        "routing",
    )
    assert (again.status_code, again.json()["change"]) == (200, "unchanged")
    assert [(one["name"], one["kind"], one["origin"]) for one in listed] == [
        ("team/m.yml", "routing", "asked")
    ]
    assert "SECRET" not in shown.text
    assert "<secret>" in shown.text
    assert shown.headers["content-type"].startswith("application/yaml")
    assert made.headers["etag"] == shown.headers["etag"] == f'"{listed[0]["etag"]}"'
    assert unchanged.status_code == 304
    assert back.status_code == 200
    assert gone.status_code == 204
    assert (missing.status_code, missing.headers["content-type"]) == (
        404, "application/problem+json",
    )  # fmt: skip


@pytest.mark.requirement("alert-files-api")
async def test_changes_hold_on_the_content_that_they_were_made_of(client: Clients) -> None:
    async with client(scope=TokenScope.ADMIN) as admin:
        first = (await _put(admin, "r.yml", RULES, if_none_match="*")).headers["etag"]
        codes = [
            (await _put(admin, "r.yml", RULES, if_none_match="*")).status_code,
            (await _put(admin, "r.yml", RULES + "# 2\n", if_match='"other"')).status_code,
            (await _put(admin, "r.yml", RULES + "# 2\n", if_match=f"W/{first}")).status_code,
            (await _put(admin, "r.yml", RULES + "# 2\n", if_match=first)).status_code,
            (await _put(admin, "r.yml", RULES + "# 3\n", if_match=first)).status_code,
            (await _put(admin, "none.yml", RULES, if_match="*")).status_code,
        ]
        deleted = await admin.delete(f"{FILES}/r.yml", headers={"If-Match": first})
        at_last = await admin.delete(f"{FILES}/r.yml", headers={"If-Match": "*"})

    assert codes == [412, 412, 412, 200, 412, 412]
    assert (deleted.status_code, at_last.status_code) == (412, 204)


@pytest.mark.requirement("alert-files-api")
async def test_what_is_refused_is_a_problem_with_its_line_and_keeps_nothing(
    client: Clients,
) -> None:
    async with client(scope=TokenScope.ADMIN) as admin:
        bad = await _put(admin, "r.yml", BAD)
        torn = await admin.put(f"{FILES}/r.yml", content=b"\xff\xfe")
        dry = await admin.put(f"{FILES}/r.yml", content=RULES, params={"dry_run": "true"})
        odd = await admin.put(f"{FILES}/r.yml", content=RULES, params={"dryrun": "true"})
        listed = (await admin.get(FILES, headers={})).status_code
    async with client() as reader:
        there = (await reader.get(FILES)).json()["files"]

    assert (bad.status_code, bad.json()["line"]) == (400, 4)
    assert bad.json()["detail"].startswith("r.yml:4:")
    assert torn.status_code == odd.status_code == 400
    assert (dry.status_code, dry.json()["change"]) == (200, "added")
    assert listed in {200, 403}
    assert there == []


@pytest.mark.requirement("alert-files-api")
async def test_only_an_administrator_changes_and_only_for_the_own_tenant(client: Clients) -> None:
    async with client() as reader, client(scope=TokenScope.ADMIN) as admin:
        await _put(admin, "m.yml", ROUTING)
        denied = [
            (await _put(reader, "r.yml", RULES)).status_code,
            (await reader.delete(f"{FILES}/m.yml")).status_code,
            (await reader.post("/v1/alerts/receivers/ops/test")).status_code,
        ]
    async with client(tenant=TenantId("acme")) as other:
        theirs = (await other.get(FILES)).json()["files"]

    assert denied == [403, 403, 403]
    assert theirs == []


@pytest.mark.requirement("receiver-tested")
async def test_a_receiver_is_tested_and_its_notice_is_listed(client: Clients) -> None:
    async with client(scope=TokenScope.ADMIN) as admin, client() as reader:
        await _put(admin, "m.yml", ROUTING)
        receivers = (await reader.get("/v1/alerts/receivers")).json()["receivers"]
        sent = await admin.post("/v1/alerts/receivers/ops/test")
        codes = [
            (await admin.post(f"/v1/alerts/receivers/{name}/test")).status_code
            for name in ("quiet", "nobody")
        ]
        asked = {"receiver": "ops", "until": "2100-01-01T00:00:00Z"}
        found = (await reader.get("/v1/alerts/notices", params=asked)).json()
        wrong = await reader.get("/v1/alerts/notices", params={"state": "lost"})

    [webhook] = receivers[0]["channels"]
    assert (webhook["kind"], webhook["target"]) == ("webhook", "https://h.example")
    assert [one["is_routed"] for one in receivers] == [True, False]
    assert sent.status_code == 202
    [notice] = found["notices"]
    assert notice["key"] == sent.json()["notices"][0]
    assert (notice["channel"], notice["why"], notice["state"]) == ("webhook", "test", "waiting")
    assert notice["alerts"] == ["ReceiverTest"]
    assert codes == [409, 404]
    assert wrong.status_code == 400
