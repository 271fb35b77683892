"""An answer as its caller wants it: JSON, CSV or Parquet, with an ETag.

The ETag is a digest of the bytes, so an answer that has not changed costs no transfer (RFC 9110,
section 13.1.2). In CSV a text that a spreadsheet would take for a formula has an apostrophe before
it (OWASP, "CSV injection").
"""

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b
from types import NoneType, UnionType
from typing import Final, Self, get_args

import msgspec
from msgspec import Struct, structs
from starlette.responses import Response

from analytics.contracts.errors import MissingPart
from streams.queries.grouped import BadQuestion

Value = str | int | float | None

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


class ColumnKind(StrEnum):
    """What a column holds, whether it has rows or not."""

    INTEGER = "int64"
    NUMBER = "float64"
    TEXT = "string"
    TRUTH = "bool"
    MOMENT = "moment"
    """Epoch milliseconds; Parquet has the same as a timestamp beside it."""


class AnswerColumn(Struct, frozen=True):
    """The values of one column, of one kind or missing."""

    kind: ColumnKind
    values: Sequence[Value]


_KINDS: Final = {
    int: ColumnKind.INTEGER,
    float: ColumnKind.NUMBER,
    str: ColumnKind.TEXT,
    bool: ColumnKind.TRUTH,
}
_MOMENTS: Final = frozenset({
    "at_ms", "started_ms", "last_ms", "ended_ms", "state_since_ms", "made_ms", "resets_ms",
    "exhausts_ms", "starts_ms", "ends_ms",
})  # fmt: skip
"""Fields that are moments in every answer; another one in `_ms` is how long something took."""


class Table(Struct, frozen=True):
    """An answer as columns of equal length, by name."""

    columns: Mapping[str, AnswerColumn]

    @classmethod
    def of(
        cls, found: Sequence[Struct], kind: type[Struct], *, moments: Collection[str] = ()
    ) -> Self:
        """Return values of one kind as rows, a field a column; what is nested is JSON."""
        return cls({
            field.name: AnswerColumn(
                ColumnKind.MOMENT if field.name in {*_MOMENTS, *moments} else _kind_of(field.type),
                [_cell(getattr(one, field.name)) for one in found],
            )
            for field in structs.fields(kind)
        })  # fmt: skip


def _kind_of(annotation: object) -> ColumnKind:
    parts = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    plain = [one for one in parts if one is not NoneType]
    return next((kind for of, kind in _KINDS.items() if plain == [of]), ColumnKind.TEXT)


def _cell(value: Value | dict[str, object] | list[object]) -> Value:
    """Return a value as a column holds it: what is nested is JSON."""
    return _ENCODER.encode(value).decode() if isinstance(value, dict | list) else value


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
    for row in zip(*(one.values for one in table.columns.values()), strict=True):
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
    columns = {}
    for name, column in table.columns.items():
        is_moment = column.kind is ColumnKind.MOMENT
        plain = pa.array(column.values, pa.int64() if is_moment else pa.type_for_alias(column.kind))
        columns[name] = plain
        if is_moment:
            columns[name.removesuffix("_ms")] = plain.cast(pa.timestamp("ms", tz="UTC"))
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()
