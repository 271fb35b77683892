"""Series: their ids, and which of them the store is known to have."""

from analytics.contracts.ids import TenantId
from analytics.measures.rows import CellKey, Grain
from streams.store.series import REMEMBERED_MS, KnownSeries, key_of, series_id


def _key(model: str, **fields: str) -> CellKey:
    return CellKey(tenant=TenantId("local"), grain=Grain.FLEET, model=model, **fields)


def test_a_series_has_one_id_and_others_have_another() -> None:
    ids = {series_id(_key("opus")), series_id(_key("opus")), series_id(_key("", agent="opus"))}

    assert len(ids) == 2
    assert all(-(2**63) <= one < 2**63 for one in ids)


def test_text_that_reads_alike_when_joined_makes_different_series() -> None:
    assert series_id(_key("b", agent="a")) != series_id(_key("", agent="ab"))


def test_a_series_that_a_store_had_before_there_were_kinds_keeps_its_id() -> None:
    assert series_id(_key("m", project="p", agent="a")) == -1940422894013762160
    assert series_id(_key("m", project="p", agent="a", kind="k")) != -1940422894013762160


def test_a_series_comes_back_from_its_columns() -> None:
    key = _key("opus", tool="Bash", query_source="main", kind="k")

    assert key_of([getattr(key, field) for field in CellKey.__struct_fields__]) == key


def test_a_series_is_new_until_a_commit_has_stored_it() -> None:
    known = KnownSeries()
    ids, new = known.split([_key("opus"), _key("opus"), _key("haiku")])
    assert ids == new

    known.stored({_key("opus"): ids[_key("opus")]})

    assert known.split([_key("opus"), _key("haiku")]) == (ids, {_key("haiku"): ids[_key("haiku")]})


def test_the_least_recently_used_series_is_forgotten_first() -> None:
    known = KnownSeries(remembered_max=2)
    for model in ("a", "b"):
        known.stored(known.split([_key(model)])[1])
    known.split([_key("a")])

    known.stored(known.split([_key("c")])[1])

    assert set(known.split([_key("a"), _key("b"), _key("c")])[1]) == {_key("b")}


def test_after_a_day_every_series_is_made_sure_of_again() -> None:
    now_ms = 0
    known = KnownSeries(clock=lambda: now_ms)
    known.stored(known.split([_key("opus")])[1])
    now_ms = REMEMBERED_MS - 1
    assert known.split([_key("opus")])[1] == {}

    now_ms = REMEMBERED_MS

    assert set(known.split([_key("opus")])[1]) == {_key("opus")}
