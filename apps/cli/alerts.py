"""`mainstem alerts`: files kept and checked, rules tested, alerts silenced and taken on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from apps.cli import alert_files, silences

OPTIONS = {"help_option_names": ["-h", "--help"]}
command = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=OPTIONS)
alert_files.add_to(command)
command.add_typer(silences.command, name="silence", short_help="Silence alerts for a while.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")]


@command.callback(epilog="Example: mainstem alerts apply rules.yml alertmanager.yml")
def _root() -> None:
    """Keep, check and test files of alerting, silence alerts, and take them on.

    Each of these has --help with an example, and --json.
    """


@command.command("check")
def check(
    files: Annotated[list[Path], typer.Argument(help="The files.", show_default=False)],
    *,
    labels: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE of a label set whose receivers to show; repeatable."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail for warnings too, and for rules not evaluated.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check files of alerting rules and of routing.

    Exit: 0 all well, 1 refused.

    Example: mainstem alerts check rules.yml routing.yml --labels severity=critical
    """
    raise typer.Exit(_check(files, _label_set(labels), strict=strict, as_json=as_json))


@command.command("test")
def run_tests(
    files: Annotated[list[Path], typer.Argument(help="The files.", show_default=False)],
    *,
    prometheus: Annotated[
        int, typer.Option(min=2, max=3, help="The Prometheus whose ranges tests are written for.")
    ] = 3,
    as_json: Json = False,
) -> None:
    """Run the tests of rules, in promtool's format.

    Exit: 0 passed, 1 failed, 2 a test that cannot be read.

    Example: mainstem alerts test rules.test.yml
    """
    raise typer.Exit(_test(files, prometheus, as_json=as_json))


@command.command("ack")
def acknowledge(
    which: Annotated[
        list[str],
        typer.Argument(
            help="Its fingerprint, or matchers such as alertname=Slow.", show_default=False
        ),
    ],
    *,
    by: silences.By = "",
    tenant: silences.Tenant = "",
    store_url: silences.StoreUrl = None,
    as_json: silences.Json = False,
) -> None:
    """Take on firing alerts, so that they do not escalate; they go on firing.

    Example: mainstem alerts ack alertname=Stuck session_id=s1
    """
    from apps.cli import silence_requests

    tenant = silence_requests.whose(tenant, store_url)
    with silence_requests.opened(store_url) as db:
        found = silence_requests.acknowledged(db, tenant, which, by=by)
    for one in found:
        silences.say(
            one, f"{one.fingerprint} acknowledged: {silence_requests.labelled(one)}", as_json
        )


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

    from apps.cli import alert_checks

    is_well = True
    for one in alert_checks.checked(files, labels):
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
    from apps.cli import alert_checks

    dialect = Dialect.TWO if prometheus == 2 else Dialect.THREE
    code = 0
    for path in files:
        one = alert_checks.tested(path, dialect)
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
