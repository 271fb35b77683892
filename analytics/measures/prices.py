"""What a model request costs, where the sender does not say: an estimate from list prices.

A table maps model families to prices in USD per million tokens, by kind of token. A model's name is
first brought to its bare form (no provider, region, date or revision), then the longest family that
begins it counts. A model that no family fits costs nothing and is counted as unpriced: there is no
guessing. All arithmetic is on whole numbers of 10⁻⁹ USD, rounded half up once a request.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import BadSetting

KINDS: Final = ("input", "output", "cache_read", "cache_write")
"""The kinds of token that have a price; `cache_write` is the one of the shortest keep."""
OPTIONAL_KINDS: Final = ("cache_write_1h",)
"""Prices that a table may state and that no count of ours is told apart by."""

USD_PER_MTOK_MAX: Final = 100_000
"""The largest price a table may hold."""
COST_MAX_NANOUSD: Final = 2**62
"""The largest cost of one request; more is held to this."""
FOUND_MAX: Final = 4_096
"""Names of models whose price is remembered; beyond it, all are looked up anew."""

_NANO: Final = 1_000_000_000
_PER_MILLION: Final = 1_000_000
_HALF: Final = _PER_MILLION // 2

_PROVIDER: Final = re.compile(r"^.*/")
_BEDROCK: Final = re.compile(
    r"^(?:(?:us|eu|apac|ap|global|us-gov|jp|au|ca)\.)?(?:anthropic|amazon|openai|google|meta)\."
)
_REVISION: Final = re.compile(r"(?:-v\d+(?::\d+)?|:[a-z0-9-]+|\[[^\]]*\])$")
_DATE: Final = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d|latest|default)$")


class Rates(Struct, frozen=True, array_like=True):
    """A family's prices in 10⁻⁹ USD per million tokens."""

    input: int
    output: int
    cache_read: int
    cache_write: int


class PriceTable:
    """Prices by model family, with the version they are known by."""

    __slots__ = ("_families", "_found", "version")

    def __init__(self, families: Mapping[str, Rates], *, version: str = "") -> None:
        self.version = version
        self._families = dict(families)
        self._found: dict[str, Rates | None] = {}

    @classmethod
    def from_mapping(
        cls, document: Mapping[str, object], *, override: Mapping[str, object] | None = None
    ) -> "PriceTable":
        """Return the table that a price file describes; `override`'s families replace its own.

        Raise `BadSetting` where either is not a price file.
        """
        families = _families(document, "the price table")
        version = str(document.get("version", ""))
        if override is not None:
            families |= _families(override, "the price override")
            version = f"{version}+{override.get('version', 'override')}"
        return cls(families, version=version)

    @property
    def families(self) -> tuple[str, ...]:
        """The model families that have a price."""
        return tuple(self._families)

    def rates(self, model: str) -> Rates | None:
        """Return the prices of `model`, or None where no family fits."""
        try:
            return self._found[model]
        except KeyError:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            found = self._found[model] = self._look_up(bare_name(model))
            return found

    def cost_nanousd(
        self, model: str, input_tokens: int, output_tokens: int, cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
    ) -> int | None:  # fmt: skip
        """Return the list price of a request, or None where the model has none."""
        rates = self.rates(model)
        if rates is None:
            return None
        total = (
            input_tokens * rates.input
            + output_tokens * rates.output
            + cache_read_tokens * rates.cache_read
            + cache_write_tokens * rates.cache_write
        )
        return min((total + _HALF) // _PER_MILLION, COST_MAX_NANOUSD)

    def _look_up(self, name: str) -> Rates | None:
        for length in range(len(name), 0, -1):
            rates = self._families.get(name[:length])
            if rates is not None and _ends_a_part(name, length):
                return rates
        return None


def bare_name(model: str) -> str:
    """Return a model's name without provider, region, date and revision, in lower case."""
    name = _PROVIDER.sub("", model.strip().lower())
    name = _BEDROCK.sub("", name)
    if name.startswith("claude-"):
        name = name.replace(".", "-")
    while True:
        shorter = _DATE.sub("", _REVISION.sub("", name))
        if shorter == name:
            return name
        name = shorter


def _ends_a_part(name: str, length: int) -> bool:
    """Say whether `name[:length]` is a family of it: neither gpt-5 of gpt-50, nor of gpt-5-6."""
    rest = name[length : length + 2]
    return not rest or (rest[0] in "-_@" and not rest[1:].isdigit())


def _families(document: Mapping[str, object], what: str) -> dict[str, Rates]:
    models = document.get("models")
    if not isinstance(models, Mapping):
        raise BadSetting(
            f"{what} has no mapping `models`, got {models!r}; list families under `models:`"
        )
    return {str(family).lower(): _rates(prices, family, what) for family, prices in models.items()}


def _rates(prices: object, family: object, what: str) -> Rates:
    if not isinstance(prices, Mapping):
        raise BadSetting(f"{what} gives {family!r} {prices!r}; give a mapping of {KINDS}")
    unknown = [kind for kind in prices if kind not in KINDS + OPTIONAL_KINDS]
    if unknown:
        raise BadSetting(
            f"{what} gives {family!r} a price for {unknown[0]!r}; use {KINDS + OPTIONAL_KINDS}"
        )
    missing = [kind for kind in ("input", "output") if kind not in prices]
    if missing:
        raise BadSetting(f"{what} gives {family!r} no price for {missing[0]!r}; state it")
    known = {kind: _price(price, kind, family) for kind, price in prices.items()}
    return Rates(
        input=known["input"],
        output=known["output"],
        cache_read=known.get("cache_read", known["input"]),
        cache_write=known.get("cache_write", known["input"]),
    )


def _price(price: object, kind: object, family: object) -> int:
    refusal = BadSetting(
        f"the price {price!r} of {family!r} for {kind!r} is not a number of USD per million tokens"
        f" from 0 to {USD_PER_MTOK_MAX}"
    )
    if isinstance(price, bool) or not isinstance(price, int | float | str):
        raise refusal
    try:
        exact = Decimal(str(price))
    except InvalidOperation as error:
        raise refusal from error
    if not exact.is_finite() or not 0 <= exact <= USD_PER_MTOK_MAX:
        raise refusal
    return int((exact * _NANO).to_integral_value())
