"""The store's part of the System page: its level, its jobs, and what they are behind with."""

from typing import Final

from apps.dashboard import markup, text
from apps.dashboard.markup import Heading, Tile
from apps.dashboard.text import Html, escaped, join, told
from apps.local import invocation
from streams.maintenance import complaints
from streams.maintenance.facts import COUNTED_MAX, JobFacts, StoreFacts
from streams.maintenance.sizes import TableFacts

SIZES_SHOWN: Final = 10
RUNNERS: Final = {"worker": "a worker", "timescaledb": "TimescaleDB"}


def level(found: StoreFacts) -> Html:
    """Return in a few words what the store is."""
    return escaped(f"{found.level}, {found.version}, schema {found.schema or 'not known'}")


def verdict(found: StoreFacts) -> Html:
    """Return in a word how the store is."""
    if complaints.of(found):
        return Html('<span class="ms-watch">! needs a look</span>')
    return Html('<span class="ms-good">✓ well</span>')


def wrong(found: StoreFacts) -> Html:
    """Return what is wrong with the store and what to do, or nothing."""
    said = complaints.of(found)
    if not said:
        return Html("")
    items = join(
        *(Html(f"<p>{told(invocation.told(words[:1].upper() + words[1:]))}.</p>") for words in said)
    )
    heading = Html("<p><strong>The store needs a look.</strong></p>")
    return markup.panel(Html(f'<div role="status">{heading}{items}</div>'), kind="alarm")


def tiles(found: StoreFacts) -> Html:
    """Return what waits and what lags."""
    rollup = found.rollup
    retention_ms = max((table.retention_lag_ms for table in found.tables), default=0)
    late = sum(table.rowwise_late for table in found.tables)
    what = "chunk" if found.level.has_hypertables else "partition"
    aside = f"{text.plural(late, what)} late for columns" if late else "of time tables"
    return markup.tiles((
        Tile("Rollups behind", text.duration(rollup.lag_ms) if rollup.due else "nothing",
             escaped(f"{_counted(rollup.due, 'change')} to roll up")),
        Tile("Retention behind", text.since(retention_ms) if retention_ms else "nothing",
             escaped("beyond a term")),
        Tile("Outbox", _number(found.outbox), escaped("results to be sent")),
        Tile("Parcels held", _number(found.parcels), escaped("of windows not closed for all")),
        Tile(f"{what.capitalize()}s", text.whole(sum(table.parts for table in found.tables)),
             escaped(aside)),
        Tile("Failing jobs", text.whole(len(found.failing_jobs)),
             escaped(f"of {text.whole(len(found.jobs))}")),
    ))  # fmt: skip


def sizes(found: StoreFacts) -> Html:
    """Return the largest tables by their size, and the others as one."""
    most = max((table.size_bytes for table in found.tables), default=1)
    shown, others = found.tables[:SIZES_SHOWN], found.tables[SIZES_SHOWN:]
    heads = (
        Heading("Table", "wide"), Heading("Rows, about", "number", optional=True),
        Heading("Parts", "number", optional=True), Heading("Size", "number"),
    )  # fmt: skip
    rows = [_size(table, most) for table in shown]
    if others:
        size_bytes = sum(table.size_bytes for table in others)
        words = escaped(text.plural(len(others), "other table"))
        rows.append((words, Html(""), Html(""), escaped(text.size(size_bytes))))
    return markup.table(f"{text.size(found.size_bytes)} in all", heads, rows)


def jobs(found: StoreFacts) -> Html:
    """Return every job: how it went, when it ran, how often it failed and when it is due."""
    if not found.jobs:
        return markup.note(
            invocation.told("No job has run yet; a worker runs them: `mainstem worker`.")
        )
    heads = (
        Heading("Job", "tight"), Heading("Went", "wide"), Heading("Run by", "tight", optional=True),
        Heading("Last run", "number"), Heading("Failed", "number", optional=True),
        Heading("Next", "number"),
    )  # fmt: skip
    rows = (
        (
            escaped(one.name), _went(one), escaped(RUNNERS.get(one.runner, one.runner)),
            _ago(one.finished_ms, found.at_ms), _failures(one), _due(one, found.at_ms),
        )
        for one in found.jobs
    )  # fmt: skip
    return markup.table("Jobs", heads, rows)


def _size(table: TableFacts, most: int) -> tuple[Html, ...]:
    return (
        join(escaped(table.name), markup.bar(table.size_bytes, most)),
        escaped(text.NONE if table.rows_about is None else text.short(table.rows_about)),
        escaped(text.whole(table.parts) if table.parts else text.NONE),
        escaped(text.size(table.size_bytes)),
    )


def _went(job: JobFacts) -> Html:
    if job.error:
        return Html(f'<span class="ms-bad">✗ {escaped(job.error, most=160)}</span>')
    if job.finished_ms is None:
        return Html('<span class="ms-muted">not yet</span>')
    return Html('<span class="ms-good">✓ well</span>')


def _failures(job: JobFacts) -> Html:
    return escaped(f"{text.whole(job.failures)} of {text.whole(job.runs)}")


def _due(job: JobFacts, now_ms: int) -> Html:
    if job.due_ms is None:
        return escaped(text.NONE)
    if job.due_ms < now_ms - complaints.OVERDUE_MS:
        return Html('<span class="ms-watch">overdue</span>')
    return escaped(f"in {text.since(max(0, job.due_ms - now_ms))}")


def _ago(at_ms: int | None, now_ms: int) -> Html:
    if not at_ms:
        return escaped(text.NONE)
    return escaped(f"{text.since(max(0, now_ms - at_ms))} ago")


def _counted(number: int, one: str) -> str:
    return f"{_number(number)} {one}s" if number != 1 else f"1 {one}"


def _number(number: int) -> str:
    return text.whole(number) + ("+" if number >= COUNTED_MAX else "")
