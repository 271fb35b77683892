"""System: whether the stream keeps up, what it could not read, and how full the store is."""

from typing import Final

from msgspec import Struct

from apps.dashboard import health, markup, text, upkeep, viewing
from apps.dashboard.health import ProcessHealth
from apps.dashboard.markup import Heading, Tile
from apps.dashboard.text import Html, escaped, join, told
from apps.local import invocation
from streams.maintenance.facts import StoreFacts, facts
from streams.queries import system as asked
from streams.queries.system import DeadLetterRow, LimitMet, PartitionProgress, Reason, Windows
from streams.series.measures import Db

LOOK_BACK_MS: Final = 86_400_000
WINDOWS_MS: Final = 3_600_000
PARTITIONS_SHOWN: Final = 24


class Condition(Struct, frozen=True, kw_only=True):
    """What the store tells of the stream, of one moment."""

    progress: tuple[PartitionProgress, ...]
    windows: tuple[Windows, ...]
    reasons: tuple[Reason, ...]
    dead_letters: tuple[DeadLetterRow, ...]
    limited: tuple[LimitMet, ...]


def page() -> None:
    """Show the condition of the system."""
    viewing.title(
        "System", Html("The way from the gateway to this screen, and the store behind it.")
    )
    viewing.live(_body, on=viewing.address().choice("live", ("0", "1"), "1") == "1")


def _body() -> None:
    now_ms = viewing.now_ms()
    parts = health.parts(viewing.settings())
    answer = viewing.ask(("system",), lambda db, tenant: _condition(db, tenant, now_ms))
    told_of = viewing.ask(("store",), lambda db, tenant: facts(db))
    found, store = answer.value, told_of.value
    viewing.freshness(answer, told_of)
    lags = next((part.lags for part in parts if part.lags is not None), None)
    viewing.show(_tiles(found, lags, now_ms), upkeep.wrong(store), _parts(parts, store))
    viewing.show(markup.heading(2, "Stream"), _progress(found.progress, lags, now_ms))
    viewing.show(markup.heading(2, "Limits"), _limited(found.limited, now_ms))
    viewing.show(markup.heading(2, "Dead letters"), _dead_letters(found, now_ms))
    viewing.show(
        markup.heading(2, "Store"),
        upkeep.tiles(store),
        upkeep.jobs(store),
        markup.side_by_side(upkeep.sizes(store), _windows(found.windows)),
    )


def _condition(db: Db, tenant: str, now_ms: int) -> Condition:
    since_ms = now_ms - LOOK_BACK_MS
    return Condition(
        progress=asked.progress(db),
        windows=asked.windows(db, tenant, since_ms=now_ms - WINDOWS_MS),
        reasons=asked.reasons(db, tenant, since_ms=since_ms),
        dead_letters=asked.dead_letters(db, tenant, since_ms=since_ms, limit=8),
        limited=asked.limited(db, tenant, since_ms=since_ms),
    )


def _tiles(found: Condition, lags: health.Lags | None, now_ms: int) -> Html:
    newest = max((one.updated_ms for one in found.progress), default=0)
    mark = max((one.watermark_ms for one in found.progress), default=0)
    dead_letters = sum(reason.number for reason in found.reasons)
    lagging = "records not in the store" if lags is not None else "the worker does not say"
    return markup.tiles((
        Tile("Lag", text.whole(sum(lags.values())) if lags is not None else "not known",
             escaped(lagging)),
        Tile("Watermark", text.duration(max(0, now_ms - mark)) if mark else "none yet",
             escaped("behind now, in event time")),
        Tile("Last commit", text.duration(max(0, now_ms - newest)) if newest else "none yet",
             escaped("ago")),
        Tile("Late events", text.whole(sum(one.late_count for one in found.progress)),
             escaped("kept, counted apart")),
        Tile("Duplicates", text.whole(sum(one.duplicate_count for one in found.progress)),
             escaped("counted once")),
        Tile("Dead letters", text.whole(dead_letters), escaped("unreadable in 24 h")),
    ))  # fmt: skip


def _parts(parts: tuple[ProcessHealth, ...], store: StoreFacts) -> Html:
    heads = (Heading("Part", "tight"), Heading("Health", "tight"), Heading("Says", "wide"))
    rows = [
        (
            escaped(part.name),
            _verdict(well=part.well, known=part.known),
            told(part.says, most=160),
        )
        for part in parts
    ]
    rows.append((
        escaped("Store"), upkeep.verdict(store), upkeep.level(store),
    ))  # fmt: skip
    return join(markup.heading(2, "Health"), markup.table("Parts of Mainstem", heads, rows))


def _verdict(*, well: bool, known: bool) -> Html:
    if not known:
        return Html('<span class="ms-muted">? not asked</span>')
    if well:
        return Html('<span class="ms-good">✓ well</span>')
    return Html('<span class="ms-bad">✗ does not answer</span>')


def _progress(found: tuple[PartitionProgress, ...], lags: health.Lags | None, now_ms: int) -> Html:
    if not found:
        return markup.note(
            invocation.told("No partition has been read yet: start a worker with `mainstem up`.")
        )
    heads = (
        Heading("Topic", "wide"),
        Heading("Partition", "number"),
        Heading("Lag", "number"),
        Heading("Watermark", "number"),
        Heading("Committed", "number", optional=True),
        Heading("Events", "number", optional=True),
        Heading("Late", "number", optional=True),
        Heading("Duplicates", "number", optional=True),
        Heading("Imported", "number", optional=True),
    )
    rows = (
        (
            escaped(one.topic),
            escaped(one.partition),
            escaped(text.whole(lags[one.topic, one.partition])
                    if lags and (one.topic, one.partition) in lags else text.NONE),
            _ago(one.watermark_ms, now_ms),
            _ago(one.updated_ms, now_ms),
            *(escaped(text.whole(number)) for number in (
                one.event_count, one.late_count, one.duplicate_count, one.backfill_count)),
        )
        for one in found[:PARTITIONS_SHOWN]
    )  # fmt: skip
    logs = len({one.cluster_id for one in found})
    said = f"Partitions of {text.plural(logs, 'log')}, newest first"
    return markup.table(said, heads, rows)


def _ago(at_ms: int | None, now_ms: int) -> Html:
    if not at_ms:
        return escaped(text.NONE)
    return escaped(f"{text.since(max(0, now_ms - at_ms))} ago")


def _windows(found: tuple[Windows, ...]) -> Html:
    names = {"window_10s": "10 seconds", "window_1m": "1 minute", "window_1h": "1 hour"}
    heads = (
        Heading("Width"), Heading("Cells", "number"), Heading("Still open", "number"),
        Heading("From late or imported events", "number"),
    )  # fmt: skip
    rows = (
        tuple(
            escaped(word)
            for word in (
                names[one.table], text.whole(one.cells), text.whole(one.open_cells),
                text.whole(one.late_cells),
            )
        )
        for one in found
    )  # fmt: skip
    return markup.table("Windows of the last hour", heads, rows)


def _limited(found: tuple[LimitMet, ...], now_ms: int) -> Html:
    """Say what there was more of than is told apart; all of it is in the totals."""
    if not found:
        return markup.note("Every label, series and session was told apart in the last 24 hours.")
    return markup.table(
        "Counted as “other”, since there were more than are told apart",
        (
            Heading("Dimension", "wide"),
            Heading("Events, ever", "number"),
            Heading("Last", "number"),
        ),
        (
            (
                escaped(_DIMENSIONS.get(one.dimension, one.dimension)),
                escaped(text.whole(one.events)),
                _ago(one.last_ms, now_ms),
            )
            for one in found
        ),
    )


_DIMENSIONS: Final = {
    "query_source": "query source",
    "session": "session (windows only; each session keeps its totals)",
    "series": "series, over all sessions",
    "session_series": "series, by session",
}


def _dead_letters(found: Condition, now_ms: int) -> Html:
    if not found.reasons:
        return markup.note("Everything could be read in the last 24 hours.")
    by_reason = markup.table(
        "Why, in the last 24 hours",
        (Heading("Reason", "wide"), Heading("Times", "number"), Heading("Last", "number")),
        (
            (
                escaped(one.reason, most=160),
                escaped(text.whole(one.number)),
                _ago(one.last_ms, now_ms),
            )
            for one in found.reasons
        ),
    )
    newest = markup.table(
        "Newest, as they came",
        (
            Heading("When", "tight"),
            Heading("From", "tight", optional=True),
            Heading("Begins", "wide"),
        ),
        (
            (
                _ago(one.at_ms, now_ms),
                escaped(one.origin or one.topic, most=40),
                _as_it_came(one.payload),
            )
            for one in found.dead_letters
        ),
    )
    return markup.side_by_side(by_reason, newest)


def _as_it_came(payload: bytes) -> Html:
    shown = escaped(payload.decode("utf-8", "replace"), most=160)
    return Html(f'<span class="ms-mono">{shown}</span>')
