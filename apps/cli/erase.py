"""`mainstem erase`: one session, one user or one tenant, gone from the store."""

import json
import sys
from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streams.maintenance.erasure import Entry, Erasure, Subject


def command(
    *,
    tenant: Annotated[str, typer.Option(help="Whose data it is.")] = "local",
    session: Annotated[str, typer.Option(help="Id of the session to erase.")] = "",
    user: Annotated[str, typer.Option(help="Name of the user to erase, as events have it.")] = "",
    everything: Annotated[
        bool, typer.Option("--everything", help="Erase all that the store has of the tenant.")
    ] = False,
    asked_by: Annotated[
        str, typer.Option("--by", help="Who asks, for the record; else who is logged in.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")] = False,
    log: Annotated[
        bool, typer.Option("--log", help="Only show what was erased before, and by whom.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Erase a session, a user or a tenant from the store; read again later, it is not stored.

    Of a session or a user, sums of the fleet stay, since they name nobody. A record stays too:
    who asked, when, and how many rows went. What the demo played goes with
    `mainstem erase --tenant demo --everything`, once the demo plays no more.

    Example: mainstem erase --user ada@example.com --tenant acme --yes
    """
    from apps.cli.stores import store_url
    from streams.maintenance import erasure

    if log:
        _tell_log(erasure.entries(store_url(), tenant), as_json=as_json)
        return
    subject = _subject(tenant, session, user, everything=everything)
    _check_demo(subject, store_url())
    if not yes:
        _confirm(store_url(), subject)
    done = erasure.erase(store_url(), subject, asked_by=asked_by or getuser())
    _tell(done, as_json=as_json)


def _subject(tenant: str, session: str, user: str, *, everything: bool) -> "Subject":
    from analytics.contracts.errors import BadSetting
    from streams.maintenance.erasure import Subject
    from streams.store.tombstones import ErasureKind

    if bool(session) + bool(user) + everything != 1 or not tenant:
        raise BadSetting(
            "erase takes either --session ID or --user NAME or --everything, and a --tenant"
        )
    if everything:
        return Subject(tenant=tenant, kind=ErasureKind.TENANT, name=tenant)
    if session:
        return Subject(tenant=tenant, kind=ErasureKind.SESSION, name=session)
    return Subject(tenant=tenant, kind=ErasureKind.USER, name=user)


def _check_demo(subject: "Subject", url: str) -> None:
    """Refuse to erase what the demo would fill again at once."""
    from analytics.contracts.errors import Refused
    from apps.local import state, tenants
    from apps.local.home import home
    from streams.store.tombstones import ErasureKind

    running = state.running(home())
    plays = running is not None and running.is_demo and running.store_url == url
    if plays and subject.kind is ErasureKind.TENANT and subject.tenant == tenants.DEMO:
        raise Refused(
            "the demo is playing and would fill its tenant again: stop it with `mainstem down`, "
            "start `mainstem up` without --demo, then erase"
        )


def _confirm(url: str, subject: "Subject") -> None:
    from analytics.contracts.errors import BadSetting
    from streams.maintenance import erasure

    found = erasure.look(url, subject)
    about = f"{found.sessions} sessions and {found.events} events"
    if not sys.stdin.isatty():
        raise BadSetting(f"this would erase {about} for good: give --yes to go on")
    typer.confirm(f"erase {about} for good?", abort=True, err=True)


def _tell(done: "Erasure", *, as_json: bool) -> None:
    if as_json:
        said = {"number": done.number, "subject": done.subject, "removed": done.removed}
        typer.echo(json.dumps({**said, "beyond": done.beyond}))
        return
    rows = ", ".join(f"{table} {count}" for table, count in sorted(done.removed.items()))
    typer.echo(f"erased: {rows or 'nothing was left of it'} (record {done.number})")
    for line in done.beyond:
        typer.echo(f"not reached: {line}")


def _tell_log(entries: "list[Entry]", *, as_json: bool) -> None:
    import msgspec

    from analytics.contracts.cloudevents import rfc3339

    for entry in entries:
        if as_json:
            typer.echo(msgspec.json.encode(entry))
            continue
        ended = "" if entry.finished_ms else ", cut off: ask again"
        typer.echo(
            f"{entry.number} {rfc3339(entry.asked_ms)} {entry.kind} {entry.subject} "
            f"by {entry.asked_by}: {sum(entry.removed.values())} rows{ended}"
        )
