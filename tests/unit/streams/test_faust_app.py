"""The Faust app of a worker, as Faust's own command finds it."""

from streams import agents
from streams.consumer import transport
from streams.consumer.stream import StreamApp, WithoutWeb
from streams.settings import load


def _app() -> StreamApp:
    return StreamApp(load(broker="127.0.0.1:1,127.0.0.1:2"), agents.ALL)


def test_its_brokers_are_reached_by_the_transport_of_record_batches() -> None:
    app = _app()

    assert isinstance(app.transport, transport.Transport)
    assert [str(url) for url in app.conf.broker] == [
        "batch+kafka://127.0.0.1:1",
        "batch+kafka://127.0.0.1:2",
    ]


def test_faust_starts_no_web_server_even_where_its_command_asks_for_one() -> None:
    app = _app()

    app.conf.web_enabled = True

    assert isinstance(app.boot_strategy, WithoutWeb)
    assert list(app.boot_strategy.web_server()) == []


def test_each_agent_is_named_for_the_module_that_it_is_in() -> None:
    names = {agent.name for agent in _app().agents.values()}

    assert names == {add_to.__module__.rpartition(".")[2] for add_to in agents.ALL}
