"""The `mainstem` command: every command by name, and the one place where errors become words.

Only the command that was named is imported, so `mainstem --help` stays quick. Exit codes: 0 done,
1 failed, 2 misused. An error is one sentence on stderr; an error nobody expected says so, and shows
where it came from with MAINSTEM_DEBUG=1 or in the log of a process that `up` started.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import typer

from analytics.contracts.errors import BadSetting, MainstemError
from apps.local import invocation, parent_guard
from apps.runtime import extras

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": ("up", "Start everything on this machine: broker, store, gateway, worker, dashboard."),
    "down": ("down", "Stop what `up` started, once all acknowledged events are in the store."),
    "doctor": (
        "doctor",
        "Send one event by every ingest path and show each arriving in the store.",
    ),
    "connect": ("connect", "Make a coding agent on this machine send its telemetry here."),
    "disconnect": ("disconnect", "Put a coding agent's settings back as they were."),
    "import": ("import_", "Import the history of coding agents, so that it shows too."),
    "topics": ("topics", "List the topics, and how far they reach on a broker."),
    "tail": ("tail", "Print a topic's events as they come."),
    "mcp": ("mcp", "Let agents ask about their own fleet (Model Context Protocol)."),
    "forecast": ("forecast", "Say what a time series in a CSV file will do."),
    "detect": ("detect", "Find the anomalies of a time series in a CSV file."),
    "token": ("token", "Issue a token for an agent, a person or a service."),
    "gateway": ("gateway", "Run one gateway: sockets and HTTP in, Kafka out."),
    "worker": ("worker", "Run one stream worker: Kafka in, store out."),
    "dashboard": ("dashboard", "Run the dashboard."),
    "api": ("api", "Run the query API: figures over HTTP, read from the store."),
    "alerts": ("alerts", "Keep, check and test files of alerts, silence alerts, take them on."),
    "retention": ("retention", "Show or set for how long a tenant's data is kept."),
    "erase": ("erase", "Erase one session, one user or one tenant from the store."),
    "migrate": ("migrate", "Bring the store's schema up to date."),
    "bench": ("bench", "Measure, and write the figures down."),
}
"""Every command: its module in `apps.cli`, and what `mainstem --help` says of it."""

FAILED: Final = 1
MISUSED: Final = 2
HERE: Final = ("127.0.0.1", "localhost", "::1")
"""What no proxy of the environment is asked for: the parts find each other on this machine."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit code."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join((*filter(None, [given]), *HERE))
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; return 0 done, 1 failed or 2 misused."""
    try:
        program(arguments)(list(arguments), prog_name="mainstem")
    except SystemExit as left:
        return _code_of(left)
    except MainstemError as error:
        return _say(str(error), MISUSED if isinstance(error, BadSetting) else FAILED)
    except ModuleNotFoundError as error:
        wanted = extras.missing(error)
        return _say(wanted, FAILED) if wanted else _unexpected(error)
    except Exception as error:  # noqa: BLE001 - the one place where a bug becomes words
        return _unexpected(error)
    return 0


def program(arguments: Sequence[str]) -> typer.Typer:
    """Return the program with the named command whole and the others by name and words only."""
    app = typer.Typer(
        name="mainstem",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(epilog="Example: mainstem up, then mainstem connect claude-code")(_root)
    named = next((word for word in arguments if not word.startswith("-")), "")
    for name, (module, about) in COMMANDS.items():
        body = _load(module) if name == named else _listed
        if isinstance(body, typer.Typer):
            app.add_typer(body, name=name, short_help=about)
        else:
            app.command(name, short_help=about)(body)
    return app


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - Typer calls it
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mainstem {version('mainstem')}")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say the version.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    """Control plane and observability for fleets of coding agents, on one event stream."""
    del version


def _listed() -> None:
    raise AssertionError("a command that was only listed was called")


def _load(module: str) -> Callable[..., None] | typer.Typer:
    body: Callable[..., None] | typer.Typer = importlib.import_module(f"apps.cli.{module}").command
    return body


def _code_of(left: SystemExit) -> int:
    if isinstance(left.code, int):
        return left.code
    return 0 if left.code is None else _say(str(left.code), FAILED)


def _say(message: str, code: int) -> int:
    typer.echo(f"mainstem: {invocation.told(message)}", err=True)
    return code


def _unexpected(error: Exception) -> int:
    if os.environ.get("MAINSTEM_DEBUG") or parent_guard.is_held(os.environ):
        traceback.print_exception(error)
    kind = type(error).__name__
    if kind == "ValidationError" and type(error).__module__.startswith("pydantic"):
        return _say(" ".join(str(error).split()), MISUSED)
    words = " ".join(str(error).split()) or "no message"
    return _say(f"unexpected {kind}: {words}; MAINSTEM_DEBUG=1 shows where", FAILED)


if __name__ == "__main__":
    main()
