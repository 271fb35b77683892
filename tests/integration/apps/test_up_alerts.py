"""A fresh `mainstem up --demo` tells a webhook after one command, and after one dropped file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.receivers import Hook, hook
from tests.support.up import Up, started, wait_until

pytestmark = pytest.mark.embedded

TOLD_S: Final = 150.0
"""Event time follows the clock two minutes behind where nobody sends anything."""
FIRES: Final = """
groups:
- name: mine
  interval: 10s
  rules:
  - alert: {name}
    expr: vector(1) > 0
    annotations: {{summary: "{{{{ $value | humanize }}}} of them"}}
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with started(tmp_path_factory.mktemp("alerts"), "--no-import", "--demo") as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Hook]:
    with hook() as held:
        yield held


def _routing(receiver: Hook, path: str) -> str:
    return f"""
route: {{receiver: ops, group_wait: 0s, group_interval: 10s}}
receivers: [{{name: ops, webhook_configs: [{{url: "{receiver.url}/{path}"}}]}}]
"""


def _names(receiver: Hook, path: str) -> set[str]:
    return {
        alert["labels"]["alertname"]
        for got in receiver.got
        if got.path == f"/{path}"
        for alert in got.said["alerts"]
    }


@pytest.mark.requirement("alerts-reach-somebody")
@pytest.mark.parametrize("tenant", [(), ("--tenant", "local")], ids=["shown", "without-data"])
def test_a_webhook_hears_of_an_alert_after_one_command(
    up: Up, receiver: Hook, tmp_path: Path, tenant: tuple[str, ...]
) -> None:
    (tmp_path / "rules.yml").write_text(FIRES.format(name="Applied"))
    (tmp_path / "alertmanager.yml").write_text(_routing(receiver, "applied"))

    paths = [str(tmp_path / name) for name in ("rules.yml", "alertmanager.yml")]
    done = up.run("alerts", "apply", *paths, *tenant)

    assert done.returncode == 0, done.stderr
    wait_until(lambda: "Applied" in _names(receiver, "applied"), seconds=TOLD_S)
    assert up.run("alerts", "remove", *paths, *tenant).returncode == 0


@pytest.mark.requirement("alerts-reach-somebody")
def test_a_webhook_hears_of_an_alert_after_a_file_was_dropped_into_the_folder(
    up: Up, receiver: Hook
) -> None:
    folder = up.home.alerts
    (folder / "rules.yml").write_text(FIRES.format(name="Dropped"))
    (folder / "secret-url").write_text(f"{receiver.url}/dropped\n")
    (folder / "routing.yml").write_text(
        "route: {receiver: ops, group_wait: 0s}\n"
        "receivers: [{name: ops, webhook_configs: [{url_file: secret-url}]}]\n"
    )

    wait_until(lambda: "Dropped" in _names(receiver, "dropped"), seconds=TOLD_S)
    listed = up.run("alerts", "list").stdout
    assert "routing  routing.yml (folder)" in listed
