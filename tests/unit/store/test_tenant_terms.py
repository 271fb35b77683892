"""Which terms a tenant can have, and what holds once everybody's have changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.maintenance import tenant_terms
from streams.maintenance.retention import Retention
from streams.maintenance.tenant_terms import BadTerm

KEPT = Retention()


@pytest.mark.requirement("retention-of-tenants")
@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"events": 30}, "kept for 7 days for everybody.*raise MAINSTEM_STREAMS_EVENTS_DAYS first"),
        ({"1d": 2_000}, "MAINSTEM_STREAMS_WINDOW_1D_DAYS"),
        ({"weeks": 3}, "there is no 'weeks' to keep"),
        ({"events": 0}, "1 is the least"),
        ({"5m": 20, "1h": 40}, "5m windows cannot be kept for 20 days and the narrower 1m"),
        ({"10s": 3, "1m": 3, "5m": 20, "1h": 40}, "so that all go at once"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(own: dict[str, int], words: str) -> None:
    with pytest.raises(BadTerm, match=words):
        tenant_terms.check(own, KEPT)


@pytest.mark.parametrize(
    "own",
    [
        {"events": 1, "sessions": 30, "dead_letters": 2},
        {"10s": 2, "1m": 3},
        {"5m": 40, "1h": 50, "1d": 60},
        {"10s": 2, "1m": 2, "5m": 5, "1h": 5, "1d": 5},
        {},
    ],
)
def test_what_a_tenant_can_have_is_what_holds(own: dict[str, int]) -> None:
    tenant_terms.check(own, KEPT)

    assert tenant_terms.effective(own, KEPT) == {**tenant_terms.everybodys(KEPT), **own}


DAYS = st.integers(1, 2_000)


@given(
    own=st.dictionaries(st.sampled_from(tuple(tenant_terms.FIELDS)), DAYS),
    kept=st.builds(Retention, **dict.fromkeys(tenant_terms.FIELDS.values(), DAYS)),
)
def test_what_holds_is_never_longer_than_everybodys_and_always_possible(
    own: dict[str, int], kept: Retention
) -> None:
    holds = tenant_terms.effective(own, kept)
    limits = tenant_terms.everybodys(kept)

    tenant_terms.check(holds, kept)
    assert all(holds[kind] <= limits[kind] for kind in limits)
