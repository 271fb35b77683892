"""Migration files as they ship."""

import pytest

from analytics.measures.rows import MEASURES
from streams.store import columns, schema, wire
from streams.store.columns import Columns
from streams.store.levels import Level

BEFORE_GAINING = 0
"""The number of what makes a database ready to gain an edition, which others never do."""


def test_every_level_gets_every_version_and_no_file_has_the_number_of_another() -> None:
    shipped = schema.shipped()
    versions = {one.version for one in shipped} - {BEFORE_GAINING}

    assert len({(one.version, one.variant) for one in shipped}) == len(shipped)
    for level in (Level.POSTGRESQL, Level.TIMESCALEDB_APACHE):
        wanted = {"", *level.variants}
        found = {one.version for one in shipped if one.variant in wanted}
        assert found - {BEFORE_GAINING} == versions


def test_a_variant_is_one_that_some_level_has() -> None:
    known = {variant for level in Level for variant in level.variants}

    assert {one.variant for one in schema.shipped()} - {""} <= known


def test_every_level_lists_the_same_columns_in_the_same_order() -> None:
    for migration in schema.shipped():
        if migration.name == "facts":
            table = migration.sql.split("create table window_10s (")[1].split("primary key")[0]
            names = [line.split()[0] for line in table.strip().splitlines()]
            later = {"unpriced_calls", "unpriced_tokens"}
            assert names == [name for name, _ in columns.CELLS if name not in later]


def test_a_line_ends_checksum_is_the_same_on_every_platform() -> None:
    unix, windows = (
        schema.Migration(version=1, name="a", variant="", sql=text)
        for text in ("select 1;\nselect 2;\n", "select 1;\r\nselect 2;\r\n")
    )

    assert unix.checksum == windows.checksum


def test_files_are_applied_by_number_and_then_by_variant() -> None:
    files = [("0002_b.sql", ""), ("0010_c.sql", ""), ("0002_b.x.sql", ""), ("notes.md", "")]

    labels = [one.label for one in schema.read(iter(files))]

    assert labels == ["0002_b", "0002_b.x", "0010_c"]


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("window_row_v2", wire.CELLS),
        ("series_row", wire.SERIES),
        ("seen_row", wire.SEEN),
        ("outbox_row", wire.OUTBOX),
        ("session_row_v2", wire.SESSIONS),
    ],
)
def test_a_row_type_has_the_columns_that_rows_are_encoded_with(name: str, listed: Columns) -> None:
    kinds = {"bigint": "int8"}
    sql = "".join(one.sql for one in schema.shipped())
    lines = sql.split(f"create type {name} as (")[1].split(");")[0].strip().splitlines()

    told = [line.rstrip(",").split() for line in lines]

    assert [(column, kinds.get(kind, kind)) for column, kind in told] == list(listed)


def test_the_sums_are_the_measures_in_their_order() -> None:
    assert [name for name, _ in columns.SUMS] == list(MEASURES)
