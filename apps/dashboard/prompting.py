"""The prompts of a session: what each led to until the next, and what that cost."""

from datetime import tzinfo
from typing import Final

from apps.dashboard import markup, text
from apps.dashboard.markup import Heading
from apps.dashboard.state import link
from apps.dashboard.text import Html, escaped, join
from streams.queries.session_events import Prompt, Stretch
from streams.queries.sessions import Session

SHOWN_MAX: Final = 12
"""Prompts in the table: the most costly ones where there are more, in the order of time."""

_COLUMNS: Final = (
    Heading("Prompt", "wide"), Heading("At", "tight", optional=True),
    Heading("Took", "number", optional=True), Heading("Calls", "number", optional=True),
    Heading("Tools", "number", optional=True), Heading("Failed", "number", optional=True),
    Heading("Cost", "number"),
)  # fmt: skip


def table(
    prompts: tuple[Prompt, ...], session: Session, *, whole: Stretch, zone: tzinfo, now_ms: int
) -> Html:
    """Return the table, and one sentence on what it leaves out or cannot place."""
    if not any(prompt.number for prompt in prompts):
        return markup.note("No prompt was seen in this session.")
    dear = sorted(prompts, key=lambda one: one.cost_nanousd, reverse=True)[:SHOWN_MAX]
    shown = sorted(dear, key=lambda one: one.number)
    most = dear[0].cost_nanousd
    rows = (_row(prompt, session, whole, most=most, zone=zone, now_ms=now_ms) for prompt in shown)
    title = text.plural(sum(1 for prompt in prompts if prompt.number), "prompt")
    if len(prompts) > len(shown):
        title += f", the {SHOWN_MAX} most costly"
    return join(markup.table(title, _COLUMNS, rows), _reconciled(prompts, session))


def _row(
    prompt: Prompt, session: Session, whole: Stretch, *, most: int, zone: tzinfo, now_ms: int
) -> tuple[Html, ...]:
    start = max(0, prompt.at_ms - whole.from_ms)
    end = prompt.until_ms - whole.from_ms
    there = link("session", session=session.session_id, start=str(start), end=str(end))
    words = prompt.text or ("Without text" if prompt.number else "Before the first prompt")
    failed = markup.errors(prompt.failures)
    return (
        join(markup.link(there, words, most=140), markup.bar(prompt.cost_nanousd, most)),
        escaped(text.clock(prompt.at_ms, zone, now_ms=now_ms)),
        escaped(text.duration(prompt.until_ms - prompt.at_ms)),
        escaped(text.whole(prompt.calls)),
        escaped(text.whole(prompt.tools)),
        failed,
        escaped(text.money(prompt.cost_nanousd)),
    )


def _reconciled(prompts: tuple[Prompt, ...], session: Session) -> Html:
    placed = sum(prompt.cost_nanousd for prompt in prompts)
    rest = session.cost_nanousd - placed
    if abs(rest) * 200 <= session.cost_nanousd or not session.cost_nanousd:
        return markup.note("Together they are what the session cost.")
    return markup.note(
        f"{text.money(abs(rest))} of the session's {text.money(session.cost_nanousd)} cannot be "
        "laid to one prompt: its events are past retention, or only metrics tell of it."
    )
