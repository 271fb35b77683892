"""`make check` runs the tests of the rooms that changed, and of no others."""

import pytest

from tests.support.changed import selected

TESTS = (
    ("tests/unit/store/test_pool.py", "from streams.store import pool\n"),
    ("tests/unit/store/test_levels.py", "from streams.store.levels import LEVELS\n"),
    ("tests/unit/http/test_guard.py", "import gateway.http.guard\n"),
    ("tests/unit/test_parts.py", "from tests.support.gateway import clocks\n"),
    ("tests/unit/test_metrics.py", "def test_it() -> None:\n    from streams import metrics\n"),
)


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("streams/store/schema.py", {"test_pool.py", "test_levels.py"}),
        ("gateway/http/guard.py", {"test_guard.py"}),
        ("tests/support/gateway.py", {"test_parts.py"}),
        ("tests/unit/store/test_pool.py", {"test_pool.py"}),
        ("streams/metrics.py", {"test_metrics.py"}),
        ("docs/README.md", set()),
        ("analytics/alerts/rules/states.py", set()),
    ],
)
def test_a_test_is_run_where_a_room_that_it_imports_or_itself_changed(
    changed: str, tests: set[str]
) -> None:
    assert {path.rsplit("/", 1)[1] for path in selected([changed], TESTS)} == tests
