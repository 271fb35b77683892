"""What `up` finds on the machine: busy ports, folders, brokers, leftovers; one sentence each."""

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analytics.contracts.errors import BadSetting, MissingPart
from apps.local import banner, broker, drain, running, state, supervisor
from apps.local.broker import BrokerKind, Choice
from apps.local.configured import configured
from apps.local.home import Home, Unusable, make
from apps.local.parts import Wiring, environment
from apps.local.settings import LocalSettings
from apps.local.state import AlreadyUp, Process, RunState
from apps.local.topics import PartitionRange


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "data")
    make(made.run)
    return made


OPTIONS = {
    "port": "--port", "dashboard_port": "--dashboard-port", "api_port": "MAINSTEM_LOCAL_API_PORT",
}  # fmt: skip


def _settings(**given: object) -> LocalSettings:
    return configured(port=0, dashboard_port=0, api_port=0, **given)


def _state(me: Process, children: dict[str, Process], *, phase: str = "up") -> RunState:
    return RunState(
        phase=phase,
        up=me,
        gateway_url="http://127.0.0.1:4318",
        dashboard_url="http://127.0.0.1:8501",
        broker="127.0.0.1:9",
        broker_kind="tansu",
        store_kind="embedded",
        store_url="postgresql://x",
        children=children,
    )


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("tansu", Choice(BrokerKind.TANSU)),
        ("kafka", Choice(BrokerKind.KAFKA)),
        ("broker.example:9092", Choice(BrokerKind.EXTERNAL, "broker.example:9092")),
    ],
)
def test_a_broker_is_named_by_kind_or_address(text: str, chosen: Choice) -> None:
    assert broker.choice(text) == chosen


@pytest.mark.parametrize("text", ["", "redpanda", "host", "host:", ":1", "host:0", "host:99999"])
def test_any_other_broker_is_misuse(text: str) -> None:
    with pytest.raises(BadSetting, match="HOST:PORT"):
        broker.choice(text)


@pytest.mark.requirement("busy-says-so")
@pytest.mark.parametrize("which", ["port", "dashboard_port", "api_port"])
def test_a_busy_port_is_named_with_the_option_to_change_it(home: Home, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(Unusable, match=f"port {port} .*{OPTIONS[which]}"):
            running.wire(
                home, configured(**{"port": 0, "dashboard_port": 0, "api_port": 0, which: port})
            )


@pytest.mark.requirement("busy-says-so")
def test_a_machine_without_a_broker_says_what_to_do(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/no/such/file")

    with pytest.raises(MissingPart, match="--broker HOST:PORT"):
        running.wire(home, _settings())


@pytest.mark.requirement("busy-says-so")
def test_two_stacks_that_start_at_one_moment_choose_different_ports(home: Home) -> None:
    settings = configured(port=0, dashboard_port=0)

    first, second = running.wire(home, settings), running.wire(home, settings)

    assert len({*_ports(first), *_ports(second)}) == 2 * len(_ports(first))


def test_an_external_broker_needs_no_embedded_one(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/no/such/file")

    wiring = running.wire(home, _settings(broker="h:1"))

    assert wiring.broker_address == "h:1"
    assert "MAINSTEM_GATEWAY_PARTITIONS" not in environment(wiring)


@pytest.mark.requirement("existing-parts")
def test_a_database_of_the_user_s_own_is_used(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@db/x")
    told = environment(running.wire(home, _settings()))

    assert told["MAINSTEM_STREAMS_STORE_URL"] == "postgresql://me@db/x"
    assert told["MAINSTEM_DASHBOARD_STORE_URL"] == "postgresql://me@db/x"
    with pytest.raises(BadSetting, match="postgresql://"):
        running.store_url({"DATABASE_URL": "mysql://x"})


@pytest.mark.requirement("busy-says-so")
def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(Unusable, match=r"cannot be made .* MAINSTEM_HOME"):
        make(tmp_path / "file" / "data")


@pytest.mark.requirement("busy-says-so")
def test_a_second_up_is_told_where_the_first_one_is(home: Home) -> None:
    me = state.process(os.getpid())
    assert me is not None
    state.write(home, _state(me, {}))

    with (
        state.lock(home),
        pytest.raises(AlreadyUp, match=r"already up .*http://127\.0\.0\.1:8501"),
        state.lock(home),
    ):
        pass

    with state.lock(home):
        pass


def test_the_state_is_private_and_a_broken_one_counts_as_none(home: Home) -> None:
    me = state.process(os.getpid())
    assert me is not None
    state.write(home, _state(me, {}))

    assert stat.S_IMODE(home.state.stat().st_mode) == 0o600
    assert state.running(home) == state.read(home)
    home.state.write_text("{")
    assert state.read(home) is None
    assert state.running(home) is None


def test_what_a_killed_up_left_is_ended_and_nothing_else(home: Home) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeper) as left, subprocess.Popen(sleeper) as other:
        one, two = state.process(left.pid), state.process(other.pid)
        assert one is not None
        assert two is not None
        before = Process(1, "long ago")
        state.write(home, _state(before, {"gateway": one, "worker": Process(two.pid, "earlier")}))

        ended = running.end_orphans(home)

        assert ended == ["gateway"]
        assert left.wait(5) != 0
        assert other.poll() is None
        other.kill()


def test_a_process_is_known_by_its_start_and_not_by_its_number_alone() -> None:
    me = state.process(os.getpid())
    assert me is not None

    assert state.is_alive(me)
    assert not state.is_alive(Process(me.pid, "another time"))
    assert state.process(2**22 - 1) is None


@pytest.mark.parametrize(
    ("name", "value"), [("port", 70_000), ("drain_wait_s", -1), ("backoff_ms", "soon")]
)
def test_a_wrong_setting_is_one_sentence(name: str, value: object) -> None:
    with pytest.raises(BadSetting, match=f"MAINSTEM_LOCAL_{name.upper()}={value!r}"):
        configured(**{name: value})


def test_a_log_is_turned_over_at_its_size_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        supervisor.turn_over(path, 101)
        assert path.stat().st_size == 100
        supervisor.turn_over(path, 100)
        writer.write(b"after\n")

    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "gateway.old.log").read_bytes() == b"x" * 100
    assert supervisor.last_line(path) == "after"
    assert supervisor.last_line(tmp_path / "none.log") == ""


def test_what_is_unread_lies_between_the_store_s_offset_and_the_end() -> None:
    ends = [
        PartitionRange(topic="a", partition=0, first=0, end=10),
        PartitionRange(topic="a", partition=1, first=5, end=7),
        PartitionRange(topic="b", partition=0, first=0, end=3),
    ]

    assert drain.unread(ends, {}) == 10 + 2 + 3
    assert drain.unread(ends, {("a", 0): 10, ("a", 1): 2, ("b", 0): 9}) == 2
    assert drain.unread(ends, {("a", 0): 10, ("a", 1): 7, ("b", 0): 3}) == 0


@pytest.mark.requirement("secrets-private")
@pytest.mark.parametrize("kind", BrokerKind)
def test_the_banner_names_addresses_and_what_is_kept_but_no_secret(
    home: Home, kind: BrokerKind
) -> None:
    wiring = Wiring(
        home=home,
        broker=Choice(kind),
        broker_address="127.0.0.1:9",
        broker_port=9,
        gateway_port=4318,
        dashboard_port=8501,
        api_port=4319,
        metrics_port=1,
        partitions=4,
        store_url="postgresql://u:secret@h/x",
    )

    said = banner.text(wiring, is_demo=True)

    for words in (
        "http://127.0.0.1:8501", "http://127.0.0.1:4318", "http://127.0.0.1:4319",
        "mainstem connect codex",
    ):  # fmt: skip
        assert words in said
    assert ("memory only" in said) is (kind is BrokerKind.TANSU)
    assert "secret" not in said + banner.as_json(wiring)
    assert "demo" in said


def test_waiting_for_a_process_is_bounded() -> None:
    me = state.process(os.getpid())
    assert me is not None
    began = time.monotonic()

    assert not state.wait_gone(me, wait_s=0.1)
    assert time.monotonic() - began < 5


def _ports(wiring: Wiring) -> tuple[int, ...]:
    return (
        wiring.broker_port,
        wiring.gateway_port,
        wiring.dashboard_port,
        wiring.api_port,
        wiring.metrics_port,
    )
