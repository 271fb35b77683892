"""What `mainstem alerts` says of files of rules, routes and tests.

What a file is, its own fields say: see `analytics.alerts.kinds`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from analytics.alerts import kinds
from analytics.alerts.dispatch import routes, routing_files
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.documents import BadFile, Caution, Position
from analytics.alerts.labels import Labels
from analytics.alerts.rules import files, test_runs, tests
from analytics.alerts.rules.memory_series import MemorySeries
from analytics.alerts.rules.rules import AlertRule, RuleFile
from analytics.promql import Dialect
from streams.monitoring import evaluation

EVALUATED_MS_MAX: Final = 10_000
"""Milliseconds that an expression of a test may take."""


class Checked(Struct, frozen=True, kw_only=True):
    """What a file holds, or why it is refused."""

    path: str
    kind: str
    refused: str = ""
    cautions: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    tree: tuple[str, ...] = ()
    lands_at: tuple[str, ...] | None = None


class Tested(Struct, frozen=True, kw_only=True):
    """What came of a test file."""

    path: str
    unreadable: str = ""
    failures: tuple[str, ...] = ()


def checked(paths: Sequence[Path], labels: Labels | None) -> list[Checked]:
    """Return what is to be said of every file."""
    loaded = [_loaded(path) for path in paths]
    carried = frozenset(
        name
        for file in loaded
        if isinstance(file, RuleFile)
        for group in file.groups
        for rule in group.rules
        for name in (*rule.labels, "alertname")
    )
    return [_said(file, labels, carried) for file in loaded]


def tested(path: Path, dialect: Dialect) -> Tested:
    """Run the tests in a file."""
    try:
        file = tests.read(str(path), _text(path))
        rules = [files.load(str(one), _text(one)) for one in _named(path, file.rule_files)]
    except BadFile as error:
        return Tested(path=str(path), unreadable=str(error))

    def world(start_ms: int) -> MemorySeries:
        return MemorySeries(start_ms, dialect, lambda: evaluation.within(EVALUATED_MS_MAX))

    failures = test_runs.run(file, rules, world)
    lines = tuple(line for failure in failures for line in failure.lines())
    return Tested(path=str(path), failures=lines)


def _named(test: Path, patterns: Iterable[str]) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        absolute = Path(pattern).is_absolute()
        folder = Path(Path(pattern).anchor) if absolute else test.parent
        inner = str(Path(pattern).relative_to(folder)) if absolute else pattern
        matched = sorted(folder.glob(inner))
        if not matched:
            raise BadFile(Position(str(test)), f"rule_files names {pattern!r}, and there is none")
        found.extend(one for one in matched if one not in found)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise BadFile(Position(str(path)), f"cannot be opened: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadFile(Position(str(path)), "is no text in UTF-8") from None


def _loaded(path: Path) -> RuleFile | Routing | Checked:
    kind = "rules"
    try:
        text = _text(path)
        kind = kinds.kind_of(str(path), text).value
        return kinds.loaded(str(path), text)
    except BadFile as error:
        return Checked(path=str(path), kind=kind, refused=str(error))


def _said(
    file: RuleFile | Routing | Checked, labels: Labels | None, carried: frozenset[str]
) -> Checked:
    if isinstance(file, Checked):
        return file
    if isinstance(file, RuleFile):
        return Checked(
            path=file.path,
            kind="rules",
            cautions=_shown(file.cautions),
            beyond=_shown(file.beyond),
            rules=tuple(_rules(file)),
        )
    unused = routing_files.unused_equals(file, carried) if carried else []
    landed = None if labels is None else routes.landing(file.root, labels)
    return Checked(
        path=file.path,
        kind="routing",
        cautions=_shown([*file.cautions, *unused, *routing_files.unreached(file)]),
        tree=tuple(routes.drawn(file.root)),
        lands_at=None if landed is None else tuple(route.receiver for route in landed),
    )


def _shown(cautions: Iterable[Caution]) -> tuple[str, ...]:
    return tuple(map(str, cautions))


def _rules(file: RuleFile) -> Iterable[str]:
    for group in file.groups:
        for rule in group.rules:
            kind = "alert" if isinstance(rule, AlertRule) else "record"
            yield f"{group.name}: {kind} {rule.name}: {' '.join(rule.expr.split())}"
