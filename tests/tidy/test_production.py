"""The compose file and the image agree with the specification, the topics and the settings in code.

No container engine is needed: the file is read as Compose reads it (YAML with merge keys), checked
against the specification's JSON schema, and compared with what the code declares.
"""

import json
import re
from typing import Any, Final

import jsonschema
import pytest
import yaml

from analytics.contracts import topics
from apps.cli.main import COMMANDS
from apps.docs import settings_page
from tests.tidy.tree import ROOT

SCHEMA: Final = ROOT / "tests/data/compose-spec/compose-spec.json"
DAY_MS: Final = 86_400_000
OURS: Final = {
    "gateway": "gateway",
    "worker": "worker",
    "dashboard": "dashboard",
    "api": "api",
    "migrate": "migrate",
}
PARTS: Final = {"kafka", "timescaledb", "redis", "prometheus", "topics-init", *OURS}
PINNED: Final = re.compile(r":v?\d+\.\d+(\.\d+)?[\w.-]*$")
BUILD_TOOLS: Final = ("apt-get", "gcc", "build-essential", "uv sync", "pip install", "cargo", "npm")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def _stages() -> list[str]:
    text = (ROOT / "Dockerfile").read_text()
    return [f"FROM {stage}" for stage in re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]]


def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))


@pytest.mark.requirement("compose-agrees")
def test_the_compose_file_is_valid_by_the_specification(compose: dict[str, Any]) -> None:
    assert [error.message for error in _validator().iter_errors(compose)] == []


def test_a_compose_file_with_an_unknown_key_is_found_out(compose: dict[str, Any]) -> None:
    wrong = {"services": {"kafka": compose["services"]["kafka"] | {"imagine": "a:1"}}}

    assert not _validator().is_valid(wrong)


def test_every_production_part_is_in_the_compose_file(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == PARTS


@pytest.mark.requirement("compose-agrees")
@pytest.mark.requirement("topics-declared-once")
def test_the_topics_made_for_kafka_are_the_declared_ones(compose: dict[str, Any]) -> None:
    [script] = compose["services"]["topics-init"]["command"]

    made = re.findall(r"^make (\S+) (\d+) (\d+)$", script, flags=re.MULTILINE)

    assert made == [
        (topic.address, str(topic.partitions), str(topic.retention_days * DAY_MS))
        for topic in topics.ALL
    ]


@pytest.mark.requirement("compose-agrees")
def test_every_variable_that_the_compose_file_sets_is_a_setting(compose: dict[str, Any]) -> None:
    ours = [compose["services"][name].get("environment", {}) for name in OURS]
    named = {key for environment in ours for key in environment if key.startswith("MAINSTEM_")}

    assert named
    assert named <= settings_page.variables()


def test_every_process_of_ours_runs_a_command_that_exists(compose: dict[str, Any]) -> None:
    for service, command in OURS.items():
        assert compose["services"][service]["command"] == [command]
        assert command in COMMANDS


def test_processes_of_ours_run_without_rights_on_a_read_only_file_system(
    compose: dict[str, Any],
) -> None:
    for service in OURS:
        described = compose["services"][service]
        assert described["read_only"] is True
        assert described["cap_drop"] == ["ALL"]
        assert described["security_opt"] == ["no-new-privileges:true"]


def test_every_image_is_pinned_and_every_port_is_on_the_loopback(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["image"] == "mainstem:local" or PINNED.search(service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_every_volume_and_secret_that_is_used_is_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        sources = {volume.split(":")[0] for volume in service.get("volumes", [])}
        named = {source for source in sources if not source.startswith((".", "/"))}
        assert named <= set(compose["volumes"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        files = [ROOT / source for source in sources if source.startswith("./")]
        assert all(file.is_file() for file in files)


def test_prometheus_scrapes_services_on_the_ports_they_answer(compose: dict[str, Any]) -> None:
    config = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())
    targets = [
        t
        for job in config["scrape_configs"]
        for one in job["static_configs"]
        for t in one["targets"]
    ]
    gateway = compose["services"]["gateway"]["environment"]["MAINSTEM_GATEWAY_METRICS_PORT"]
    worker = compose["services"]["worker"]["environment"]["MAINSTEM_STREAMS_METRICS_PORT"]

    assert targets == [f"gateway:{gateway}", f"worker:{worker}"]


def test_the_image_is_built_in_stages_from_a_pinned_base() -> None:
    stages = _stages()

    bases = [stage.split()[1] for stage in stages]

    assert len(stages) > 1
    assert all(PINNED.search(base) for base in bases)


def test_the_image_runs_as_a_user_without_rights_and_without_build_tools() -> None:
    last = _stages()[-1]

    user = re.search(r"^USER (\d+):(\d+)$", last, flags=re.MULTILINE)
    after_user = last[last.index("USER") :]

    assert user
    assert int(user[1]) > 0
    assert not [tool for tool in BUILD_TOOLS if tool in last]
    assert "\nRUN" not in after_user
    assert 'ENTRYPOINT ["mainstem"]' in after_user


def test_the_image_holds_exactly_what_the_lock_says() -> None:
    build = _stages()[0]

    syncs = [line for line in build.splitlines() if "uv sync" in line]

    assert syncs
    assert all("--frozen" in line and "--no-default-groups" in line for line in syncs)
    assert all(
        f"COPY {room} {room}" in build for room in ("analytics", "gateway", "streams", "apps")
    )
