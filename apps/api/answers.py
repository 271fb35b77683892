"""An answer as its caller wants it: JSON, CSV or Parquet, with an ETag.

The ETag is a digest of the bytes, so an answer that has not changed costs no transfer (RFC 9110,
section 13.1.2). In CSV a text that a spreadsheet would take for a formula has an apostrophe before
it (OWASP, "CSV injection").
"""

import csv
import io
from collections.abc import Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct
from starlette.responses import Response

from analytics.contracts.errors import MissingPart
from streams.store.queries.grouped import BadQuestion

Value = str | int | float | None
Column = Sequence[Value]

MAX_AGE_S: Final = 5
"""How long a caller may take an answer for fresh."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_ENCODER: Final = msgspec.json.Encoder()


class Format(StrEnum):
    """How an answer is written."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


TYPES: Final = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}


class Table(Struct, frozen=True):
    """An answer as columns of equal length, by name."""

    columns: Mapping[str, Column]


def format_of(asked: str, accept: str) -> Format:
    """Return the format that is asked for by name, else by what is accepted."""
    if asked:
        try:
            return Format(asked)
        except ValueError as error:
            named = ", ".join(Format)
            raise BadQuestion(f"no format {asked[:40]!r}; there are {named}") from error
    wanted = [kind for kind, name in TYPES.items() if name.partition(";")[0] in accept]
    return wanted[0] if len(wanted) == 1 else Format.JSON


def respond(body: object, table: Table, kind: Format, *, name: str, known: str = "") -> Response:
    """Return the answer, or 304 if the caller has it already (`known` is its If-None-Match)."""
    data = _bytes(body, table, kind)
    tag = f'"{blake2b(data, digest_size=16).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": f"private, max-age={MAX_AGE_S}", "Vary": "Accept"}
    if tag in {one.strip().removeprefix("W/") for one in known.split(",")}:
        return Response(status_code=304, headers=headers)
    if kind is not Format.JSON:
        headers["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return Response(data, media_type=TYPES[kind], headers=headers)


def _bytes(body: object, table: Table, kind: Format) -> bytes:
    match kind:
        case Format.JSON:
            return _ENCODER.encode(body)
        case Format.CSV:
            return _csv(table)
        case Format.PARQUET:
            return _parquet(table)


def _csv(table: Table) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table.columns)
    for row in zip(*table.columns.values(), strict=True):
        writer.writerow([_plain(value) for value in row])
    return text.getvalue().encode()


def _plain(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _parquet(table: Table) -> bytes:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingPart("Parquet needs pyarrow; install mainstem[dashboard]") from error
    sink = io.BytesIO()
    parquet.write_table(pa.table({n: list(c) for n, c in table.columns.items()}), sink)
    return sink.getvalue()
