"""The price table: the one that ships, with the user's own prices over it."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

import yaml

from analytics.contracts.errors import BadSetting
from analytics.measures.prices import PriceTable
from apps.local.home import home

SHIPPED: Final = "prices.yaml"
OVERRIDE_BYTES_MAX: Final = 1_048_576
"""How large the user's own price file may be."""


def price_table(override: Path | None = None) -> PriceTable:
    """Return the prices in force; `override` is the data folder's `prices.yaml` unless named.

    Raise `BadSetting` where the user's file is no price file.
    """
    shipped = resources.files("analytics.measures").joinpath(SHIPPED).read_text(encoding="utf-8")
    path = home().prices if override is None else override
    own = _mapping(_own(path), str(path)) if path.is_file() or override is not None else None
    return PriceTable.from_mapping(_mapping(shipped, SHIPPED), override=own)


def _own(path: Path) -> str:
    try:
        if path.stat().st_size > OVERRIDE_BYTES_MAX:
            raise BadSetting(f"the price file {str(path)!r} is over {OVERRIDE_BYTES_MAX} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(
            f"the price file {str(path)!r} cannot be read; mend or remove it"
        ) from error


def _mapping(text: str, name: str) -> Mapping[str, object]:
    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadSetting(f"the price file {name!r} is no YAML: {error}") from error
    if not isinstance(document, dict):
        raise BadSetting(f"the price file {name!r} holds no mapping; see the shipped {SHIPPED}")
    return {str(key): value for key, value in document.items()}
