"""opencode's stores for tests: the genuine ones of the test data, and made ones of either form."""

import json
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import DEFAULT_TENANT
from apps.transcripts.opencode import records
from gateway.transcripts.opencode import OpencodeReader
from tests.support.ingest import DATA
from tests.support.rollouts import NOW_MS

FOLDER: Final = DATA / "opencode"
Row = dict[str, Any]


def database(path: Path, rows: dict[str, list[Row]] | None = None) -> Path:
    """Make a database of the newer form, with the genuine rows unless others are given."""
    genuine = json.loads((FOLDER / "1.18.33.json").read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as made:
        for statement in genuine["schema"]:
            made.execute(statement)
        for table, every in (genuine["rows"] if rows is None else rows).items():
            for row in every:
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                made.execute(f"insert into {table} ({names}) values ({marks})", [*row.values()])
        made.commit()
    return path


def storage(folder: Path) -> Path:
    """Give a folder the genuine history of the older form."""
    shutil.copytree(FOLDER / "1.0.152" / "storage", folder / "storage")
    return folder / "storage"


def imported(paths: Iterable[Path]) -> tuple[OpencodeReader, list[AgentEvent]]:
    """Return what one import makes of stores, read in this order."""
    reader, made = OpencodeReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS), list[AgentEvent]()
    for path in paths:
        reader.open(str(path), session_id="")
        for number, raw in enumerate(records(path), start=1):
            made += reader.line(raw, number)
    return reader, [*made, *reader.finish()]


def read_messages(*records_given: Row) -> tuple[OpencodeReader, list[AgentEvent]]:
    """Return what records that are given amount to."""
    reader, made = OpencodeReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS), list[AgentEvent]()
    reader.open("store", session_id="")
    for number, record in enumerate(records_given, start=1):
        made += reader.line(json.dumps(record).encode(), number)
    return reader, made
