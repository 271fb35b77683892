"""The worker's prices: those that Mainstem comes with, and the user's own before them."""

from pathlib import Path

import pytest

from analytics.contracts.errors import BadSetting
from apps.commands.worker import price_table

OWN = """
version: mine
models:
  my-model: {input: 1, output: 2, cache_read: 0.1, cache_write: 1.5}
"""


def test_the_shipped_prices_are_used_where_the_user_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))

    assert price_table(None).rates("claude-sonnet-4-5-20250929") is not None


def test_a_file_that_is_not_there_or_no_mapping_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"nowhere\.yaml"):
        price_table(tmp_path / "nowhere.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(BadSetting, match="no mapping"):
        price_table(tmp_path / "list.yaml")


def test_the_users_own_prices_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))
    (tmp_path / "prices.yaml").write_text(OWN)

    table = price_table(None)

    assert table.rates("my-model") is not None
    assert table.version.endswith("+mine")
