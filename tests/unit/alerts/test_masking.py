"""Routing files are shown without their secrets, and take them back when they are kept again."""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.alerts.dispatch import routing_files
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.documents import BadFile
from analytics.alerts.notify import masking

ALL: Final = """
global: {slack_api_url: "https://S01/x", smtp_auth_password: 'S02', smtp_smarthost: h:25,
         opsgenie_api_key: S03, smtp_auth_password_file_note: n}
route: {receiver: ops, routes: [{receiver: ops, match: {url: shown}}]}
# url: https://S04
receivers:
- name: ops   # plain words stay
  webhook_configs:
  - url: https://S05/x
    secret: &again S06
    http_config: {authorization: {credentials: S07#S07}, proxy_url: "http://u:S08@p"}
  - url_file: /run/shown
    http_config:
      basic_auth:
        username: shown
        password: >-
          S09
          S09
  slack_configs: [{app_token: *again, channel: shown, icon_url: "http://shown"}]
  pagerduty_configs:
  - routing_key: |
      S10
    client_url: http://shown
  pushover_configs: [{user_key: S11, token: S12}]
  opsgenie_configs: [{api_key: S13}]
  msteams_configs: [{webhook_url: "https://S14"}]
  apprise_configs: [{url: "discord://S15/S15"}]   # token S16
---
receivers: [{name: second, webhook_configs: [{url: https://S17}]}]
"""


def _load(text: str) -> Routing:
    """Return the routing that a text of this test holds, without what only Alertmanager reads."""
    return routing_files.load("m.yml", text.replace(", smtp_auth_password_file_note: n", ""))


def _secrets(routing: Routing) -> list[dict[str, str]]:
    return [
        {**by.secrets, **by.settings}
        for one in routing.receivers.values()
        for by in one.integrations
    ]


@pytest.mark.requirement("alert-files-applied")
def test_no_secret_is_shown_and_all_else_is() -> None:
    shown = masking.masked(ALL)

    assert [f"S{number:02}" for number in range(1, 18) if f"S{number:02}" in shown] == []
    assert shown.count("shown") == ALL.count("shown")
    assert "plain words stay" in shown
    assert masking.masked(shown) == shown


@pytest.mark.requirement("alert-files-applied")
def test_what_was_shown_has_the_same_secrets_once_it_is_kept_again() -> None:
    again = masking.restored("m.yml", masking.masked(ALL), ALL)

    assert _secrets(_load(again)) == _secrets(_load(ALL))


def test_a_receiver_keeps_its_secrets_where_it_moves() -> None:
    two = "- {name: b, webhook_configs: [{url: https://B}]}\n"
    one = "- {name: a, webhook_configs: [{url: https://A}]}\n"
    head = "route: {receiver: a}\nreceivers:\n"

    shown = masking.masked(head + one + two).splitlines(keepends=True)
    again = masking.restored("m.yml", "".join([*shown[:2], shown[3], shown[2]]), head + one + two)

    assert again == head + two.replace("https://B", '"https://B"') + one.replace(
        "https://A", '"https://A"'
    )


def test_a_secret_that_stands_for_nothing_is_refused_with_its_line() -> None:
    with pytest.raises(BadFile, match=r"m\.yml:2:.*stands for no value"):
        masking.restored("m.yml", masking.masked(ALL), "route: {}")


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    style=st.sampled_from(["double", "flow"]),
)
def test_any_text_is_hidden_and_comes_back(secret: str, style: str) -> None:
    written = masking._quoted(secret)
    body = f"secret: {written}\n    url: https://h" if style == "double" else ""
    flow = f"{{url: https://h, secret: {written}}}"
    kept = (
        f"route: {{receiver: r}}\nreceivers:\n- name: r\n  webhook_configs:\n  - {body or flow}\n"
    )
    before = _secrets(routing_files.load("m.yml", kept))

    after = masking.restored("m.yml", masking.masked(kept), kept)

    assert before[0]["secret"] == secret
    assert _secrets(routing_files.load("m.yml", after)) == before


def test_what_cannot_be_read_is_not_shown() -> None:
    assert "SECRET" not in masking.masked("receivers: [ {url: https://SECRET")


def test_files_that_refer_to_themselves_are_shown_in_time() -> None:
    bomb = "receivers:\n- &a {name: a}\n" + "".join(
        f"- &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(24)
    )

    assert masking.masked(bomb) == bomb


@pytest.mark.parametrize("file", sorted(Path("tests/data/alerts").rglob("*.yml")), ids=str)
def test_every_file_of_others_is_shown_as_one_that_loads_alike(file: Path) -> None:
    text = file.read_text("utf-8")
    try:
        before = routing_files.load("m.yml", text)
    except BadFile:
        return

    after = routing_files.load("m.yml", masking.restored("m.yml", masking.masked(text), text))

    assert _secrets(after) == _secrets(before)
