"""`mainstem alerts`: files of rules and routes checked, and tests of rules run."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Action(StrEnum):
    """What to do with the files."""

    CHECK = "check"
    TEST = "test"


def command(
    action: Annotated[
        Action, typer.Argument(help="check rule or routing files, or test rules (promtool's form).")
    ],
    files: Annotated[list[Path], typer.Argument(help="The files.", show_default=False)],
    *,
    labels: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE of a label set whose receivers to show; repeatable."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail for warnings too, and for rules not evaluated.")
    ] = False,
    prometheus: Annotated[
        int, typer.Option(min=2, max=3, help="The Prometheus whose ranges tests are written for.")
    ] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")] = False,
) -> None:
    """Check files of alerting rules and of routing, or run the tests of rules.

    Exit: 0 all well, 1 refused or failed, 2 a test that cannot be read. \
    Example: mainstem alerts check rules.yml routing.yml --labels severity=critical
    """
    if action is Action.CHECK:
        raise typer.Exit(_check(files, _label_set(labels), strict=strict, as_json=as_json))
    raise typer.Exit(_test(files, prometheus, as_json=as_json))


def _label_set(given: list[str] | None) -> Mapping[str, str] | None:
    from analytics.contracts.errors import BadSetting

    if given is None:
        return None
    pairs = [one.partition("=") for one in given]
    for name, sign, value in pairs:
        if not name or not sign:
            raise BadSetting(f"--labels takes NAME=VALUE; found {name + sign + value!r}")
    return {name: value for name, _, value in pairs}


def _check(
    files: list[Path], labels: Mapping[str, str] | None, *, strict: bool, as_json: bool
) -> int:
    import msgspec

    from apps import alerting

    is_well = True
    for one in alerting.checked(files, labels):
        odd = [*one.cautions, *one.beyond]
        is_well = is_well and not one.refused and not (strict and odd)
        if as_json:
            typer.echo(msgspec.json.encode(one))
            continue
        for caution in odd:
            typer.echo(f"warning: {caution}", err=True)
        if one.refused:
            typer.echo(f"refused: {one.refused}", err=True)
            continue
        typer.echo(f"{one.path}: {one.kind}")
        for line in (*one.rules, *one.tree):
            typer.echo(f"  {line}")
        if one.lands_at is not None:
            typer.echo(f"  lands at: {','.join(one.lands_at)}")
    return 0 if is_well else 1


def _test(files: list[Path], prometheus: int, *, as_json: bool) -> int:
    import msgspec

    from analytics.promql import Dialect
    from apps import alerting

    dialect = Dialect.TWO if prometheus == 2 else Dialect.THREE
    code = 0
    for path in files:
        one = alerting.tested(path, dialect)
        code = max(code, 2 if one.unreadable else 1 if one.failures else 0)
        if as_json:
            typer.echo(msgspec.json.encode(one))
        elif one.unreadable:
            typer.echo(f"unreadable: {one.unreadable}", err=True)
        else:
            typer.echo(f"{one.path}: {'failed' if one.failures else 'passed'}")
            for line in one.failures:
                typer.echo(f"  {line}")
    return code
