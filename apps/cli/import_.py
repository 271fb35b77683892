"""`mainstem import`: history from what coding agents keep on this machine."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from types import FrameType

    from apps.transcripts.agents import TranscriptAgent
    from apps.transcripts.files import TranscriptFiles
    from apps.transcripts.sender import Post
    from apps.transcripts.summary import Summary
    from gateway.kafka.publisher import Receipt

GATEWAY_URL: Final = "http://127.0.0.1:4318"
"""Where the gateway listens unless it was told otherwise."""
TOLD_MAX: Final = 10
"""Bad lines that are told without `--json`, which tells them all."""


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[AGENT|PATH…]",
            help="claude, codex, gemini, opencode; or files and folders, recognised by content.",
        ),
    ] = None,
    *,
    agent: Annotated[
        list[str] | None,
        typer.Option("--agent", help="Only this agent's, in paths too; may be given again."),
    ] = None,
    gateway: Annotated[
        str, typer.Option(help="GatewayClient; else the one that `up` started.")
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds the token; else the data folder's.")
    ] = None,
    keep_content: Annotated[
        bool,
        typer.Option("--keep-content", help="Send contents too; the gateway has to keep them."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only, send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Import the history of Claude Code, Codex, Gemini CLI and opencode; twice is the same as once.

    It reads all that is named, or the folders where these agents keep theirs. Lines that cannot be
    read are skipped and told; so are files and folders, for which it exits with 1 once the rest is
    imported.

    Example: mainstem import codex --dry-run --json
    """
    import msgspec

    from apps.transcripts import summary

    if gateway:
        from apps.connect.target import http_url

        http_url(gateway, option="--gateway")
    figures = _imported(
        _found(paths or [], agent or []),
        partial(_posting, gateway, token_file, dry_run=dry_run),
        keep_content=keep_content,
        dry_run=dry_run,
    )
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(figures), indent=2).decode())
    else:
        typer.echo("\n".join(summary.words(figures, bad_lines_max=TOLD_MAX)))
    if figures.stopped or figures.events.refused or figures.unread:
        raise typer.Exit(1)


def _imported(
    found: "TranscriptFiles",
    posting: "Callable[[], AbstractContextManager[Post]]",
    *,
    keep_content: bool,
    dry_run: bool,
) -> "Summary":
    """Read what was found, send its events and return the figures."""
    import time

    from analytics.contracts.ids import DEFAULT_TENANT
    from apps.runtime.prices import price_table
    from apps.transcripts import importer, summary
    from apps.transcripts.sender import Outbox

    prices = price_table()
    readers = importer.readers(
        tenant=DEFAULT_TENANT,
        now_ms=time.time_ns() // 1_000_000,
        keep_content=keep_content,
        prices=prices,
    )
    next(iter(readers.values())).totals.unread += found.unread
    with (
        _stopping() as is_stopped,
        _progress(sum(transcript.size for transcript in found.transcripts)) as advance,
        posting() as post,
    ):
        outbox = Outbox(post)
        watch = importer.ImportListener(advance, is_stopped)
        done = importer.take_in(found.transcripts, readers, outbox, watch)
    return summary.summary(
        {name: reader.totals for name, reader in readers.items()},
        outbox.sent,
        prices=prices.version,
        dry_run=dry_run,
        stopped=not done,
    )


def _found(words: Sequence[str], only: Sequence[str]) -> "TranscriptFiles":
    """Return what there is to read of all that was named: agents, files and folders."""
    from analytics.contracts.errors import BadSetting
    from apps.transcripts import files
    from apps.transcripts.agents import AGENTS, NAMES

    if not all(word.strip() for word in words):
        raise BadSetting(
            "an empty path, perhaps of a variable that is not set; name a file, a folder or an"
            f" agent: {', '.join(NAMES)}"
        )
    kept = [_agent(name) for name in only]
    paths = [Path(word) for word in words if word.lower() not in NAMES or Path(word).exists()]
    named = [NAMES[word.lower()] for word in words if Path(word) not in paths]
    for agent in named:
        if kept and agent not in kept:
            raise BadSetting(
                f"{agent.name!r} is named and --agent leaves it out; drop --agent, or add"
                f" --agent {agent.name}"
            )
    asked = [[agent] for agent in (named if paths else [*named, *kept])]
    own: dict[Path, list[str]] = {}
    for agents in asked if asked or paths else [AGENTS]:
        own |= files.default_folders(agents)
    return files.found(paths, agents=[agent.name for agent in kept] or NAMES, own=own)


def _agent(name: str) -> "TranscriptAgent":
    from analytics.contracts.errors import BadSetting
    from apps.transcripts.agents import NAMES

    if name.lower() not in NAMES:
        raise BadSetting(f"no agent {name!r}; name one of {', '.join(NAMES)}")
    return NAMES[name.lower()]


@contextmanager
def _posting(
    gateway: str, token_file: Path | None, *, dry_run: bool
) -> Iterator[Callable[[Sequence[bytes]], "list[Receipt]"]]:
    """Give the way to send batches; none leaves in a dry run."""
    if dry_run:
        yield lambda _batch: []
        return
    from apps.local import state
    from apps.local.home import home
    from apps.transcripts.sender import GatewayClient

    folder = home()
    running = None if gateway else state.running(folder)
    url = gateway or (running.gateway_url if running else GATEWAY_URL)
    away = GatewayClient(url, _token(token_file or folder.token))
    try:
        yield away.post
    finally:
        away.close()


def _token(path: Path) -> str:
    from analytics.contracts.errors import BadSetting

    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(
            f"the token {str(path)!r} cannot be read; run `mainstem up` once, or name a file with"
            " --token-file"
        ) from error


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that is answered between two lines."""
    asked: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, _frame: "FrameType | None") -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """Show how far the import is, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _bytes: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("importing", total=size)
        yield lambda more: bar.advance(task, more)
