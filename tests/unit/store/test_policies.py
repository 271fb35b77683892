"""Policies ask for nothing that would empty a rollup or drop what is still needed."""

from datetime import timedelta

import pytest

from streams.maintenance import policies
from streams.maintenance.retention import Retention

TERMS = [
    Retention(),
    Retention(window_10s_days=1, window_1m_days=1, window_5m_days=1, window_1h_days=1),
    Retention(window_1m_days=90, window_5m_days=90, window_1h_days=90, window_1d_days=90),
]


@pytest.mark.parametrize("kept", TERMS)
@pytest.mark.requirement("store-community")
def test_a_refresh_never_reaches_back_to_where_its_source_may_be_gone(kept: Retention) -> None:
    terms = {table.name: term for table, term in kept.terms()}

    for policy in policies.wanted(kept):
        if policy.table in policies.CONTINUOUS and "refresh" in policy.procedure:
            source, period = policies.CONTINUOUS[policy.table]
            assert policy.after < terms[source]
            assert policy.after - policies.REFRESH_END >= 2 * period


@pytest.mark.parametrize("kept", TERMS)
def test_a_policy_drops_only_after_the_term_and_never_what_is_rolled_up(kept: Retention) -> None:
    terms = {table.name: term for table, term in kept.terms()}
    drops = {one.table: one for one in policies.wanted(kept) if "retention" in one.procedure}

    assert all(one.after >= terms[name] + timedelta(days=1) for name, one in drops.items())
    assert "window_1m" not in drops


def test_the_policies_fit_the_background_workers_that_timescaledb_has_unless_told() -> None:
    assert len(list(policies.wanted(Retention()))) + 2 <= 16
