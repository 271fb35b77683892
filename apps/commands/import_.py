"""`mainstem import`: history from the transcripts that Claude Code keeps on this machine."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from types import FrameType

    from gateway.publish import Verdict

GATEWAY_URL: Final = "http://127.0.0.1:4318"
"""Where the gateway listens unless it was told otherwise."""
TOLD_MAX: Final = 10
"""Bad lines that are told without `--json`, which tells them all."""


def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH…]", help="Transcripts or folders of them."),
    ] = None,
    *,
    gateway: Annotated[str, typer.Option(help="Gateway; else the one that `up` started.")] = "",
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
    """Import Claude Code transcripts, so that history shows too; twice is the same as once.

    Without a PATH it reads ~/.claude/projects. Lines that cannot be read are skipped and told.

    Example: mainstem import ~/.claude/projects --dry-run --json
    """
    import time

    import msgspec

    from analytics.contracts.ids import DEFAULT_TENANT
    from apps import transcripts_files, transcripts_import, transcripts_summary
    from apps.prices import price_table
    from apps.transcripts_send import Outbox
    from gateway.transcripts.reader import Reader

    transcripts = transcripts_files.found(paths or [transcripts_files.default_folder()])
    prices = price_table()
    reader = Reader(
        tenant=DEFAULT_TENANT,
        now_ms=time.time_ns() // 1_000_000,
        keep_content=keep_content,
        price=transcripts_import.pricing(prices),
    )
    size = sum(transcript.size for transcript in transcripts)
    with (
        _stopping() as is_stopped,
        _progress(size) as advance,
        _posting(gateway, token_file, dry_run=dry_run) as post,
    ):
        outbox = Outbox(post)
        watch = transcripts_import.Watch(advance, is_stopped)
        done = transcripts_import.take_in(transcripts, reader, outbox, watch)
    figures = transcripts_summary.summary(
        reader.totals, outbox.sent, prices=prices.version, dry_run=dry_run, stopped=not done
    )
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(figures), indent=2).decode())
    else:
        typer.echo("\n".join(transcripts_summary.words(figures, bad_lines_max=TOLD_MAX)))
    if not done or outbox.sent.refused:
        raise typer.Exit(1)


@contextmanager
def _posting(
    gateway: str, token_file: Path | None, *, dry_run: bool
) -> Iterator[Callable[[Sequence[bytes]], "list[Verdict]"]]:
    """Give the way to send batches; none leaves in a dry run."""
    if dry_run:
        yield lambda _batch: []
        return
    from apps.local import state
    from apps.local.home import home
    from apps.transcripts_send import Gateway

    folder = home()
    running = None if gateway else state.running(folder)
    url = gateway or (running.gateway_url if running else GATEWAY_URL)
    away = Gateway(url, _token(token_file or folder.token))
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
