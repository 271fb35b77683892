"""`mainstem topics`: what is declared, and how far each reaches on a broker."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from apps.local.topics import PartitionRange


def command(
    *,
    broker: Annotated[
        str | None, typer.Option(help="HOST:PORT; else the broker that runs here, if one does.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the topics: their key, width, retention, and how many records each holds now.

    Example: mainstem topics --json
    """
    import msgspec

    from analytics.contracts import topics
    from apps.local import broker as brokers
    from apps.local.home import home

    address = brokers.reachable(home(), broker)
    held = asyncio.run(_held(address)) if address else {}
    rows = [
        {
            "topic": topic.name,
            "address": topic.address,
            "key": topic.key,
            "partitions": len(held[topic.address]) if topic.address in held else topic.partitions,
            "retention_days": topic.retention_days,
            "carries": [str(kind.__struct_config__.tag) for kind in topic.carries],
            "records": _records(held.get(topic.address)),
            "about": topic.about,
        }
        for topic in topics.ALL
    ]
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
        return
    for row in rows:
        known = "" if row["records"] is None else f"records={row['records']}"
        typer.echo(
            f"{row['topic']:<16} key={row['key']:<14} partitions={row['partitions']:<3}"
            f" keep={row['retention_days']}d  {known:<14} {row['about']}".rstrip()
        )
    if not address:
        typer.echo("no broker runs here; --broker HOST:PORT shows how far topics reach", err=True)


async def _held(address: str) -> dict[str, list[PartitionRange]]:
    from apps.local.topics import reaches

    held: dict[str, list[PartitionRange]] = {}
    for reach in await reaches(address):
        held.setdefault(reach.topic, []).append(reach)
    return held


def _records(reached: Sequence[PartitionRange] | None) -> int | None:
    return None if reached is None else sum(one.end - one.first for one in reached)
