"""`mainstem alerts apply|list|show|remove`: files of rules and routing, kept for a tenant."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apps.cli.silences import By, StoreUrl, Tenant, say

if TYPE_CHECKING:
    from apps.cli.alert_file_requests import Said

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say and show what would change, and change nothing.")
]


def add_to(command: typer.Typer) -> None:
    """Give a command these."""
    for name, body in (("apply", apply), ("list", show_all), ("show", show), ("remove", remove)):
        command.command(name)(body)


def apply(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files, or folders whose files are all meant.", show_default=False),
    ],
    *,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the files applied before and not named now.")
    ] = False,
    dry_run: DryRun = False,
    by: By = "",
    tenant: Tenant = "",
    store_url: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Keep files of rules and of routing, so that workers go by them within seconds.

    Rule files are Prometheus', files of routing, receivers and time intervals are Alertmanager's,
    as they are. All files are checked first, and if one is refused none is kept. A file takes the
    place of the one of its name; the file of routing takes the place of the one before.

    Exit: 0 kept, 1 refused.

    Example: mainstem alerts apply rules.yml alertmanager.yml
    """
    from apps.cli import alert_file_requests, silence_requests

    read = alert_file_requests.read(files)
    tenant = silence_requests.whose(tenant, store_url)
    with silence_requests.opened(store_url) as db:
        said = alert_file_requests.applied(db, tenant, read, by=by, prunes=prune, is_dry=dry_run)
    _tell(said, tenant, is_dry=dry_run, as_json=as_json)


def show_all(*, tenant: Tenant = "", store_url: StoreUrl = None, as_json: Json = False) -> None:
    """List the files that are kept, and what of the folder is refused.

    Example: mainstem alerts list --json
    """
    from apps.cli import alert_file_requests, silence_requests

    tenant = silence_requests.whose(tenant, store_url)
    with silence_requests.opened(store_url) as db:
        found = alert_file_requests.listed(db, tenant)
    for one in found:
        say(one, alert_file_requests.line(one), as_json)
    if not found and not as_json:
        typer.echo(
            f"no file of tenant {tenant}: the preset pack alone is evaluated, and nobody is told;"
            " --tenant names another"
        )


def show(
    names: Annotated[
        list[str], typer.Argument(help="Names, as the list shows them.", show_default=False)
    ],
    *,
    tenant: Tenant = "",
    store_url: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Print files as they are kept, with their secrets hidden.

    What is printed can be edited and applied again: where it says <secret> the kept one stays.

    Example: mainstem alerts show alertmanager.yml
    """
    from apps.cli import silence_requests
    from streams.store import alert_files

    tenant = silence_requests.whose(tenant, store_url)
    with silence_requests.opened(store_url) as db:
        for name in names:
            one = alert_files.one(db, tenant, name)
            told = {"name": one.name, "kind": one.kind, "etag": one.etag, "body": one.shown}
            say(told, one.shown.rstrip("\n"), as_json)


def remove(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...", help="Names, as the list shows them, or paths.", show_default=False
        ),
    ],
    *,
    dry_run: DryRun = False,
    by: By = "",
    tenant: Tenant = "",
    store_url: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Remove files, all of them or none.

    Example: mainstem alerts remove rules.yml
    """
    from apps.cli import alert_file_requests, silence_requests

    tenant = silence_requests.whose(tenant, store_url)
    with silence_requests.opened(store_url) as db:
        meant = [Path(one).name for one in names]
        said = alert_file_requests.removed(db, tenant, meant, by=by, is_dry=dry_run)
    _tell(said, tenant, is_dry=dry_run, as_json=as_json)


def _tell(said: "list[Said]", tenant: str, *, is_dry: bool, as_json: bool) -> None:
    """Say what became of files; leave with 1 where one was refused."""
    import msgspec

    is_refused = any(one.refused for one in said)
    for one in said:
        if as_json:
            typer.echo(msgspec.json.encode(one))
            continue
        for caution in (*one.cautions, *one.beyond):
            typer.echo(f"warning: {caution}", err=True)
        if one.refused:
            typer.echo(f"refused: {one.refused}", err=True)
            continue
        instead = f", in place of {one.replaces}" if one.replaces else ""
        would = "would be " if is_dry or is_refused else ""
        typer.echo(f"{one.name}: {would}{one.change} ({one.kind}{instead}) for tenant {tenant}")
        if is_dry and one.diff:
            typer.echo(one.diff)
    if is_refused:
        typer.echo("nothing was changed", err=True)
        raise typer.Exit(1)
