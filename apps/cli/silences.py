"""`mainstem alerts silence`: silences made, listed, ended and previewed."""

from typing import Annotated

import typer

command = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

By = Annotated[str, typer.Option(help="Who does it, for the record; else who is logged in.")]
Tenant = Annotated[
    str, typer.Option(help="Whose alerts; else what the dashboard of `up` opens on, or local.")
]
StoreUrl = Annotated[
    str | None,
    typer.Option(help="postgresql://…; else the store of the environment, or the one of `up`."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
Matchers = Annotated[
    list[str] | None,
    typer.Argument(
        help='Matchers that must all hold: alertname=Slow, team=~"a|b".', show_default=False
    ),
]
Link = Annotated[str, typer.Option(help="The silence link of a notification, for its matchers.")]


@command.callback(epilog="Example: mainstem alerts silence list")
def _root() -> None:
    """Silence alerts for a while: they go on firing, and nobody is told.

    Each of these has --help with an example, and --json.
    """


@command.command("add")
def add(
    matchers: Matchers = None,
    *,
    comment: Annotated[str, typer.Option(help="Why.", show_default=False)],
    lasts: Annotated[str, typer.Option("--for", help="For how long, such as 2h or 1d12h.")] = "2h",
    link: Link = "",
    by: By = "",
    tenant: Tenant = "",
    store_url: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Silence the alerts that matchers hold for, from now on; say what it mutes.

    Example: mainstem alerts silence add alertname=Slow agent=a1 --for 2h --comment "known"
    """
    from apps.cli import silence_requests

    draft = silence_requests.draft(matchers or [], link, lasts=lasts, comment=comment, by=by)
    tenant = silence_requests.whose(tenant, store_url)
    with silence_requests.opened(store_url) as db:
        added = silence_requests.added(db, tenant, draft)
    caution = f"; {added.reach.caution}" if added.reach.caution else ""
    say(
        silence_requests.shown(added.silence),
        f"{added.silence.id} mutes {added.reach.count} alerts{caution}",
        as_json,
    )


@command.command("list")
def show(*, tenant: Tenant = "", store_url: StoreUrl = None, as_json: Json = False) -> None:
    """List the silences that are not over.

    Example: mainstem alerts silence list --json
    """
    from apps.cli import silence_requests

    tenant = silence_requests.whose(tenant, store_url)
    with silence_requests.opened(store_url) as db:
        for one in silence_requests.listed(db, tenant):
            say(one, silence_requests.line(one), as_json)


@command.command("expire")
def expire(
    silence: Annotated[
        list[str], typer.Argument(help="Ids, as the list shows them.", show_default=False)
    ],
    *,
    tenant: Tenant = "",
    store_url: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """End silences now.

    Example: mainstem alerts silence expire 3f0c
    """
    from apps.cli import silence_requests

    tenant = silence_requests.whose(tenant, store_url)
    with silence_requests.opened(store_url) as db:
        for one in silence:
            ended = silence_requests.expired(db, tenant, one)
            say(silence_requests.shown(ended), f"{ended.id} is over", as_json)


@command.command("preview")
def preview(
    matchers: Matchers = None,
    *,
    link: Link = "",
    tenant: Tenant = "",
    store_url: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Show which pending and firing alerts a silence would mute.

    Example: mainstem alerts silence preview agent=a1
    """
    from apps.cli import silence_requests

    wanted = silence_requests.wanted(matchers or [], link)
    tenant = silence_requests.whose(tenant, store_url)
    with silence_requests.opened(store_url) as db:
        found = silence_requests.previewed(db, tenant, wanted)
    for one in found:
        say(one, f"{one.fingerprint} {one.state}: {silence_requests.labelled(one)}", as_json)
    if not found and not as_json:
        typer.echo("no alert: check the matchers")


def say(value: object, line: str, as_json: bool) -> None:  # noqa: FBT001 - it is passed on
    """Print a value as JSON, or a line for people."""
    import msgspec

    typer.echo(msgspec.json.encode(value).decode() if as_json else line)
