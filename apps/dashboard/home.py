"""Overview: what needs a person now, and what the fleet does, costs and how it fares.

Text comes first and alone answers the page, redrawn each second; charts follow, less often. One
question to the store answers the whole page, shared by all who look at the same range.
"""

from collections.abc import Callable
from typing import Final
from zoneinfo import ZoneInfo

import streamlit as st
from msgspec import Struct

from apps.dashboard import charts, markup, readings, sentences, text, viewing
from apps.dashboard.markup import Heading, Tile
from apps.dashboard.source import Key
from apps.dashboard.state import RANGE_NAMES, RANGE_WORDS, Address, Range, link
from apps.dashboard.text import Html, escaped, join, money, short
from apps.local import invocation
from streams.queries import rankings, sessions, trends
from streams.queries.rankings import Ranked
from streams.queries.sessions import Session
from streams.queries.trends import Latency, Trend
from streams.series import cover, span
from streams.series.measures import Db
from streams.series.span import Span

ATTENTION_MAX: Final = 6
ATTENTION_SINCE_MS: Final = 86_400_000

TOKENS: Final = {
    "Cache read": "cache_read_tokens",
    "Cache write": "cache_write_tokens",
    "Input": "input_tokens",
    "Output": "output_tokens",
}
ERRORS: Final = {
    "Model requests": "call_errors",
    "Tools": "tool_errors",
    "Refused tools": "tool_refusals",
}
QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_TOPS: Final = {
    "agent": "Agents", "model": "Models", "tool": "Tools", "skill": "Skills", "project": "Projects",
}  # fmt: skip


class Overview(Struct, frozen=True, kw_only=True):
    """All that the page shows, of one moment."""

    span: Span
    trend: Trend
    latency: Latency
    top: dict[str, tuple[Ranked, ...]]
    states: dict[str, int]
    attention: tuple[Session, ...]
    metrics_only: int
    """Model calls whose cost is not known, and the tokens that they took."""
    newest_ms: int | None


def page() -> None:
    """Show the overview."""
    found = viewing.address()
    viewing.title("Overview", Html("What the fleet is doing, and what needs you."))
    chosen = viewing.range_picker(found)
    _wants_numbers(found)
    viewing.problems(found)
    viewing.live(lambda: _figures(chosen), on=chosen.live)
    viewing.live(
        lambda: _drawings(chosen), on=chosen.live, every_s=viewing.settings().charts_refresh_s
    )


def _wants_numbers(found: Address) -> bool:
    return found.choice("numbers", ("0", "1"), "0") == "1"


def _figures(chosen: Range) -> None:
    """Show what fits into words: quick to draw, so drawn often."""
    now_ms = viewing.now_ms()
    answer = viewing.ask(*_asked(chosen, now_ms))
    seen = answer.value
    viewing.freshness(answer)
    if seen.newest_ms is None:
        viewing.nothing_yet()
        return
    viewing.show(_attention(seen.attention, now_ms))
    if not seen.trend.total("events"):
        _quiet(seen, chosen, now_ms)
        return
    viewing.show(
        markup.heading(2, f"{RANGE_WORDS[chosen.name]} in figures"),
        _states(seen, chosen),
        _tiles(seen),
    )


def _drawings(chosen: Range) -> None:
    """Show the charts and the rankings; that there is nothing to draw is said above them."""
    now_ms = viewing.now_ms()
    seen = viewing.attempt(*_asked(chosen, now_ms), otherwise=None)
    if seen is not None and seen.trend.total("events"):
        _charts(seen, now_ms, numbers=_wants_numbers(viewing.address()))
        viewing.show(markup.heading(2, "Where it went"), _tops(seen, chosen))


def _asked(chosen: Range, now_ms: int) -> tuple[Key, Callable[[Db, str], Overview]]:
    zone = viewing.place()
    return ("overview", chosen, zone), lambda db, tenant: _overview(
        db, tenant, chosen, now_ms, zone=zone
    )


def _overview(
    db: Db, tenant: str, chosen: Range, now_ms: int, *, zone: ZoneInfo | None
) -> Overview:
    start, end = chosen.bounds(now_ms)
    since = cover.since(db, tenant)
    whole = span.near(start, end, now_ms=now_ms, since=since, zone=zone)
    over = span.within(whole, start, end, now_ms=now_ms, since=since)
    wanted = sessions.Filter(from_ms=over.from_ms, until_ms=over.until_ms)
    return Overview(
        span=over,
        trend=trends.measures(db, tenant, over),
        latency=trends.latency(db, tenant, over, wanted=tuple(QUANTILES.values())),
        top=rankings.top(db, tenant, over),
        states=sessions.states(db, tenant, wanted),
        attention=sessions.needing_attention(
            db, tenant, since_ms=now_ms - ATTENTION_SINCE_MS, limit=ATTENTION_MAX
        ),
        metrics_only=sessions.count_by_metrics(db, tenant, wanted),
        newest_ms=sessions.newest_ms(db, tenant),
    )


def _attention(found: tuple[Session, ...], now_ms: int) -> Html:
    if not found:
        return markup.panel(
            Html(
                '<p><strong class="ms-good">Nothing needs you.</strong> '
                "No session waits, is stuck, is rate-limited or has errors.</p>"
            ),
            kind="calm",
        )
    rows = "".join(f"<li>{_case(session, now_ms)}</li>" for session in found)
    return join(
        markup.heading(2, "Needs attention"),
        markup.panel(Html(f'<ol class="ms-list">{rows}</ol>'), kind="alarm"),
    )


def _case(session: Session, now_ms: int) -> Html:
    troubled = session.state in {"waiting", "stuck", "rate_limited"}
    since_ms = session.state_since_ms if troubled else session.last_ms
    said = session.attention if troubled and session.attention else _failed(session)
    name = session.first_prompt or session.session_id
    return Html(
        f"<span>{markup.state(session.state) if troubled else markup.errors(session.errors)}</span>"
        f"<span>{markup.link(link('session', session=session.session_id), name, most=90)}"
        f'<br><span class="ms-aside">{escaped(said, most=120)} · {escaped(session.project)} · '
        f"{escaped(session.agent)} · {escaped(session.user_name)}</span></span>"
        f'<span class="ms-end">{escaped(text.since(max(0, now_ms - since_ms)))}</span>'
    )


def _failed(session: Session) -> str:
    parts = []
    if session.call_errors:
        parts.append(text.plural(session.call_errors, "model request") + " failed")
    if session.tool_errors:
        parts.append(text.plural(session.tool_errors, "tool call") + " failed")
    return ", ".join(parts) or "needs a look"


def _quiet(seen: Overview, chosen: Range, now_ms: int) -> None:
    newest = seen.newest_ms or 0
    wider = next(
        (name for name in ("6h", "24h", "7d", "30d") if now_ms - newest < _length(name)), "30d"
    )
    at = text.clock(newest, viewing.zone(), now_ms=now_ms)
    viewing.show(
        markup.heading(2, f"{RANGE_WORDS[chosen.name]}: no events"),
        Html(
            f"<p>No data since {escaped(at)}. "
            f"{markup.link(link('', range=wider), f'Show {RANGE_NAMES[wider]}')}, "
            "or find out where events stay:</p>"
        ),
    )
    st.code(invocation.command("doctor"), language=None, wrap_lines=True)


def _length(name: str) -> int:
    start, end = Range(name=name).bounds(2**50)
    return end - start


def _states(seen: Overview, chosen: Range) -> Html:
    carried = viewing.remembered(chosen)
    items = (
        f'<li><a href="{escaped(link("sessions", state=name, **carried))}" target="_self">'
        f"{markup.state(name)} <strong>{escaped(seen.states[name])}</strong></a></li>"
        for name in markup.STATES
        if seen.states.get(name)
    )
    return Html(f'<ul class="ms-states" aria-label="Sessions by state">{"".join(items)}</ul>')


def _tiles(seen: Overview) -> Html:
    trend, overall = seen.trend, seen.latency.overall
    calls, failed = trend.total("calls"), trend.total("call_errors")
    total = sum(trend.total(name) for name in TOKENS.values())
    return markup.tiles((
        Tile("Sessions", text.whole(sum(seen.states.values())),
             escaped(text.plural(trend.total("prompts"), "prompt"))),
        Tile("Cost", text.cost(trend.total("cost_nanousd"), trend.total("unpriced_tokens")),
             _how_counted(seen)),
        Tile("Tokens", short(total),
             escaped(f"{text.share(trend.total('cache_read_tokens'), total)} read from cache")),
        Tile("Model calls", text.whole(calls),
             escaped(f"{text.share(failed, calls + failed)} failed")),
        Tile("Tool calls", text.whole(trend.total("tool_calls")),
             escaped(f"{text.whole(trend.total('tool_errors'))} failed, "
                     f"{text.whole(trend.total('tool_refusals'))} refused")),
        Tile("Latency p95", text.duration(overall[0.95]),
             escaped(f"p50 {text.duration(overall[0.5])}, p99 {text.duration(overall[0.99])}")),
    ))  # fmt: skip


def _how_counted(seen: Overview) -> Html:
    total, guessed = seen.trend.total("cost_nanousd"), seen.trend.total("cost_estimated_nanousd")
    calls, tokens = (seen.trend.total(f"unpriced_{name}") for name in ("calls", "tokens"))
    if tokens and not total:
        said = "no model here has a price"
    elif not guessed:
        said = "as agents report it"
    elif guessed >= total:
        said = "estimate, from list prices"
    else:
        said = f"{money(guessed)} of it is an estimate"
    if tokens:
        of = sum(seen.trend.total(name) for name in TOKENS.values())
        said += f"; {text.plural(calls, 'call')} not priced ({text.share(tokens, of)} of tokens)"
    if seen.metrics_only:
        said += f"; {text.plural(seen.metrics_only, 'session')} by metrics only"
    return escaped(said)


def _charts(seen: Overview, now_ms: int, *, numbers: bool) -> None:
    zone, trend, step_ms = viewing.zone(), seen.trend, seen.span.step_ms
    viewing.show(markup.heading(2, "Over time"))
    viewing.days_of(seen.span.zone, step_ms)
    st.session_state["numbers"] = numbers
    st.toggle("Show the numbers of each chart", key="numbers", on_change=_toggled)
    left, right = st.columns(2, gap="large")
    with left:
        said = sentences.cost(trend, step_ms, zone, now_ms)
        usd = {"Cost": trend.columns["cost_nanousd"] / 1e9}
        _chart(trend.at_ms, usd, title="Cost", said=said, unit="US dollars", numbers=numbers)
        said = sentences.errors(trend, tuple(ERRORS.values()), zone, now_ms)
        failed = {label: trend.columns[name] for label, name in ERRORS.items()}
        _chart(trend.at_ms, failed, title="Errors", said=said, unit="Failures", numbers=numbers)
    with right:
        said = sentences.tokens(trend, tuple(TOKENS.values()), zone, now_ms)
        used = {label: trend.columns[name] for label, name in TOKENS.items()}
        _chart(trend.at_ms, used, title="Tokens by kind", said=said, unit="Tokens", numbers=numbers)
        _latency(seen.latency, numbers=numbers)


def _toggled() -> None:
    viewing.push(numbers="1" if st.session_state["numbers"] else "")


def _chart(
    at_ms: charts.Times, columns: charts.Columns, *, title: str, said: str, unit: str, numbers: bool
) -> None:
    viewing.show(markup.heading(3, title), markup.note(said))
    alt = f"{title} over time. {said}"
    charts.bars(at_ms, columns, colours=viewing.colours(), unit=unit, alt=alt)
    if numbers:
        readings.show(title, at_ms, columns)


def _latency(found: Latency, *, numbers: bool) -> None:
    said = sentences.latency(found)
    viewing.show(markup.heading(3, "Model latency"), markup.note(said))
    columns = {label: found.quantiles[q] / 1000 for label, q in QUANTILES.items()}
    charts.lines(
        found.at_ms, columns, colours=viewing.colours(), unit="Seconds",
        alt=f"Model latency over time. {said}",
    )  # fmt: skip
    if numbers:
        readings.show("Model latency in seconds", found.at_ms, columns)


def _tops(seen: Overview, chosen: Range) -> Html:
    shown = (_top(name, seen.top[name], chosen) for name in _TOPS if seen.top[name])
    return markup.side_by_side(*shown)


def _top(dimension: str, rows: tuple[Ranked, ...], chosen: Range) -> Html:
    by_cost = dimension != "tool"
    of = max((row.cost_nanousd if by_cost else row.tool_calls) for row in rows)
    heads = (
        (Heading("Name", "wide"), Heading("Tokens", "number"), Heading("Cost", "number"))
        if by_cost
        else (Heading("Name", "wide"), Heading("Failed", "number"), Heading("Calls", "number"))
    )
    return markup.table(
        _TOPS[dimension], heads, (_ranked(dimension, row, of, chosen) for row in rows)
    )


def _ranked(dimension: str, row: Ranked, of: int, chosen: Range) -> tuple[Html, ...]:
    name = escaped(row.name, most=60)
    if dimension in sessions.FACETS:
        carried = viewing.remembered(chosen)
        name = markup.link(link("sessions", **{dimension: row.name}, **carried), row.name, most=60)
    if dimension == "tool":
        drawn = join(name, markup.bar(row.tool_calls, of))
        return drawn, escaped(text.whole(row.tool_errors)), escaped(text.whole(row.tool_calls))
    cost = escaped(text.cost(row.cost_nanousd, row.unpriced_tokens))
    if row.cost_estimated_nanousd:
        guess = "estimate" if row.cost_estimated_nanousd >= row.cost_nanousd else "partly estimate"
        cost = join(cost, Html(f'<br><span class="ms-aside">{guess}</span>'))
    return join(name, markup.bar(row.cost_nanousd, of)), escaped(short(row.tokens)), cost
