"""`mainstem retention`: for how long a tenant's data is kept."""

from collections.abc import Mapping
from enum import StrEnum
from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streams.maintenance.tenant_settings import Term


class Action(StrEnum):
    """What to do with the terms."""

    SHOW = "show"
    SET = "set"


def command(
    action: Annotated[Action, typer.Argument(help="show the terms, or set some.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            help="KIND=DAYS, or KIND=default; kinds are events, 10s, 1m, 5m, 1h, 1d, sessions, "
            "dead_letters.",
            show_default=False,
        ),
    ] = None,
    *,
    tenant: Annotated[str, typer.Option(help="Whose data it is.")] = "local",
    asked_by: Annotated[
        str, typer.Option("--by", help="Who asks, for the record; else who is logged in.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a kind.")] = False,
) -> None:
    """Show or set for how many days a tenant's data is kept: never longer than everybody's.

    A worker's job removes what is older, within the hour.

    Example: mainstem retention set --tenant acme events=2 sessions=30
    """
    from analytics.contracts.errors import BadSetting
    from apps.cli import worker_rules
    from apps.cli.stores import store_url
    from streams import settings
    from streams.maintenance import tenant_settings

    if bool(changes) is not (action is Action.SET) or not tenant:
        raise BadSetting("give `show`, or `set` with KIND=DAYS such as events=2; and a --tenant")
    kept = worker_rules.retention(settings.load())
    if action is Action.SHOW:
        _tell(tenant_settings.terms(store_url(), tenant, kept), as_json=as_json)
        return
    wanted = _read(changes or [])
    by = asked_by or getuser()
    _tell(
        tenant_settings.put(store_url(), tenant, wanted, kept=kept, changed_by=by), as_json=as_json
    )


def _read(changes: list[str]) -> Mapping[str, int | None]:
    from analytics.contracts.errors import BadSetting

    read: dict[str, int | None] = {}
    for given in changes:
        kind, sign, days = given.partition("=")
        if not sign or not (days == "default" or (days.isascii() and days.isdecimal())):
            raise BadSetting(
                f"a term is KIND=DAYS or KIND=default, such as events=2, not {given!r}"
            )
        read[kind] = None if days == "default" else int(days[:9])
    return read


def _tell(terms: "list[Term]", *, as_json: bool) -> None:
    import msgspec

    for term in terms:
        if as_json:
            typer.echo(msgspec.json.encode(term))
            continue
        own = "" if term.own_days is None else f", asked for {term.own_days}"
        typer.echo(f"{term.kind}: {term.days} d (everybody's {term.everybodys_days}{own})")
