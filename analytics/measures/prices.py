"""What a model request costs, where the sender does not say: an estimate from list prices.

A table maps model families to prices in USD per million tokens, by kind of token. A model's name is
first brought to its bare form (no provider, region, date or revision), then the longest family that
begins it counts. What costs apart is priced apart: cache writes that are kept for an hour, prompts
beyond a length, requests in fast mode or in a batch, web searches. A request whose model no family
fits, or that ran in a mode without a price, has none: there is no guessing. All arithmetic is on
whole numbers, rounded half up once a request.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec import Struct

from analytics.contracts.agent_events import RequestFinished
from analytics.contracts.errors import BadSetting

KINDS: Final = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
"""The kinds of token that have a price; `cache_write` is the one of the shortest keep."""
FACTORS: Final = ("fast", "batch")
"""How many times the price a request costs in fast mode, or in a batch."""
LONG: Final = "long"
ABOVE: Final = "above"
LONG_KEYS: Final = (ABOVE, "input", "output")
"""Of prompts `above` so many tokens: how many times the price what goes in and comes out costs."""
WEB_SEARCH: Final = "web_search"
"""The price of a thousand web searches."""
FAST: Final = "fast"
BATCH: Final = "batch"

USD_PER_MTOK_MAX: Final = 100_000
"""The largest price a table may hold."""
COST_MAX_NANOUSD: Final = 2**62
"""The largest cost of one request; more is held to this."""
FOUND_MAX: Final = 4_096
"""Names of models whose price is remembered; beyond it, all are looked up anew."""

_NANO: Final = 1_000_000_000
_NANO_MILLI: Final = 1_000_000
_PER_MILLION: Final = 1_000_000
_HALF: Final = _PER_MILLION // 2

_MILLI: Final = 1_000
_PROVIDER: Final = re.compile(
    r"^(?:.*/|(?:anthropic|openai|google(?:-gla|-vertex)?|gemini|azure|bedrock|vertex_?ai|openrouter)"
    r"(?::|--))"
)
_BEDROCK: Final = re.compile(
    r"^(?:[a-z]{2,6}(?:-[a-z]{2,5})?\.)?(?:anthropic|amazon|openai|google|meta)\."
)
_INNER_DATE: Final = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d)(?=[-@:\[])")
_TURNED: Final = re.compile(r"^claude-([4-9](?:-\d{1,2})?)-(opus|sonnet|haiku|fable)(?=$|[-@:\[])")
"""Claude's names of the fourth generation and later as some gateways turn them."""
_REVISION: Final = re.compile(r"(?:-v\d+(?::\d+)?|:[a-z0-9-]+|\[[^\]]*\])$")
_DATE: Final = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d|latest|default)$")


class PricedExtras(Struct, frozen=True, array_like=True, gc=False, omit_defaults=True):
    """What of a request costs apart."""

    cache_write_1h_tokens: int = 0
    web_searches: int = 0
    speed: str = ""
    service_tier: str = ""

    @classmethod
    def of(cls, one_hour: int, searches: int, *, speed: str, service_tier: str) -> "PricedExtras":
        """Return what costs apart of what a sender says; a usual speed and tier are nothing."""
        fast = FAST if speed == FAST else ""
        return cls(one_hour, searches, fast, BATCH if service_tier == BATCH else "")

    def merged(self, other: "PricedExtras") -> "PricedExtras":
        """Return what two reports of one request say of it together."""
        if other in {self, NOTHING_APART}:
            return self
        return PricedExtras(
            max(self.cache_write_1h_tokens, other.cache_write_1h_tokens),
            max(self.web_searches, other.web_searches),
            self.speed or other.speed,
            self.service_tier or other.service_tier,
        )


NOTHING_APART: Final = PricedExtras()


def apart_of(event: RequestFinished) -> PricedExtras:
    """Return what of an answer costs apart."""
    one_hour, searches = event.cache_write_1h_tokens, event.web_searches
    if not (one_hour or searches or event.speed or event.service_tier):
        return NOTHING_APART
    made = PricedExtras.of(one_hour, searches, speed=event.speed, service_tier=event.service_tier)
    return NOTHING_APART if made == NOTHING_APART else made


class Rates(Struct, frozen=True, kw_only=True):
    """A family's prices in 10⁻⁹ USD per million tokens, and in thousandths what multiplies them."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    web_search: int | None = None
    """Of one search, in 10⁻⁹ USD."""
    fast: int | None = None
    batch: int | None = None
    long_above: int | None = None
    long_input: int = _MILLI
    long_output: int = _MILLI

    def factor(self, apart: PricedExtras) -> int | None:
        """Return by what the mode of a request multiplies its price; None where that is unknown."""
        factor: int | None = _MILLI
        if apart.speed == FAST:
            factor = self.fast
        if apart.service_tier == BATCH:
            factor = None if factor is None or self.batch is None else factor * self.batch // _MILLI
        return factor


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
        defaults = _defaults(document, "the price table")
        families = _families(document, "the price table", defaults)
        version = str(document.get("version", ""))
        if override is not None:
            defaults |= _defaults(override, "the price override")
            families |= _families(override, "the price override", defaults)
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
        cache_write_tokens: int = 0, *, apart: PricedExtras = NOTHING_APART,
    ) -> int | None:  # fmt: skip
        """Return the list price of a request, or None where the model, or its mode, has none."""
        rates = self._found.get(model) or self.rates(model)
        if rates is None:
            return None
        taken = (
            input_tokens * rates.input
            + cache_read_tokens * rates.cache_read
            + cache_write_tokens * rates.cache_write
        )
        made = output_tokens * rates.output
        prompt = input_tokens + cache_read_tokens + cache_write_tokens
        if apart is NOTHING_APART and (rates.long_above is None or prompt <= rates.long_above):
            return min((taken + made + _HALF) // _PER_MILLION, COST_MAX_NANOUSD)
        one_hour = min(apart.cache_write_1h_tokens, cache_write_tokens)
        taken += one_hour * (rates.cache_write_1h - rates.cache_write)
        return _apart(rates, apart, taken, made, prompt=prompt)

    def _look_up(self, name: str) -> Rates | None:
        for length in range(len(name), 0, -1):
            rates = self._families.get(name[:length])
            if rates is not None and _ends_a_part(name, length):
                return rates
        return None


def _apart(rates: Rates, apart: PricedExtras, taken: int, made: int, *, prompt: int) -> int | None:
    """Return what a request costs beyond the plain price of its tokens too."""
    factor = rates.factor(apart)
    if factor is None or (apart.web_searches and rates.web_search is None):
        return None
    taken, made = taken * _MILLI, made * _MILLI
    if rates.long_above is not None and prompt > rates.long_above:
        taken, made = taken // _MILLI * rates.long_input, made // _MILLI * rates.long_output
    scale = _PER_MILLION * _MILLI * _MILLI
    cost = ((taken + made) * factor + scale // 2) // scale
    return min(cost + apart.web_searches * (rates.web_search or 0), COST_MAX_NANOUSD)


def bare_name(model: str) -> str:
    """Return a model's name without provider, region, date and revision, in lower case."""
    name = _PROVIDER.sub("", model.strip().lower())
    name = _BEDROCK.sub("", name)
    if name.startswith("claude-"):
        name = _TURNED.sub(r"claude-\2-\1", name.replace(".", "-"))
    while True:
        shorter = _INNER_DATE.sub("", _DATE.sub("", _REVISION.sub("", name)))
        if shorter == name:
            return name
        name = shorter


def _ends_a_part(name: str, length: int) -> bool:
    """Say whether `name[:length]` is a family of it: neither gpt-5 of gpt-50, nor of gpt-5-6."""
    rest = name[length : length + 2]
    return not rest or (rest[0] in "-_@" and not rest[1:].isdigit())


def _defaults(document: Mapping[str, object], what: str) -> dict[str, Mapping[object, object]]:
    """Return what holds for all families that begin alike and do not say otherwise."""
    given = document.get("defaults", {})
    if not isinstance(given, Mapping) or not all(
        isinstance(one, Mapping) for one in given.values()
    ):
        raise BadSetting(f"{what} has `defaults` that are no mapping of mappings: {given!r}")
    return {str(prefix).lower(): dict(prices) for prefix, prices in given.items()}


def _families(
    document: Mapping[str, object], what: str, defaults: Mapping[str, Mapping[object, object]]
) -> dict[str, Rates]:
    models = document.get("models")
    if not isinstance(models, Mapping):
        raise BadSetting(
            f"{what} has no mapping `models`, got {models!r}; list families under `models:`"
        )
    families: dict[str, Rates] = {}
    for family, prices in models.items():
        name = str(family).lower()
        common = [given for prefix, given in defaults.items() if name.startswith(prefix)]
        families[name] = _rates(prices, family, what, common)
    return families


def _rates(
    prices: object, family: object, what: str, common: Sequence[Mapping[object, object]]
) -> Rates:
    if not isinstance(prices, Mapping):
        raise BadSetting(f"{what} gives {family!r} {prices!r}; give a mapping of {KINDS}")
    prices = {key: value for given in (*common, prices) for key, value in given.items()}
    names = (*KINDS, *FACTORS, WEB_SEARCH, LONG)
    unknown = [kind for kind in prices if kind not in names]
    if unknown:
        raise BadSetting(f"{what} gives {family!r} a price for {unknown[0]!r}; use {names}")
    missing = [kind for kind in ("input", "output") if kind not in prices]
    if missing:
        raise BadSetting(f"{what} gives {family!r} no price for {missing[0]!r}; state it")
    long = prices.get(LONG, {})
    if not isinstance(long, Mapping) or (long and set(long) != set(LONG_KEYS)):
        raise BadSetting(f"{what} gives {family!r} {LONG!r} {long!r}; give {LONG_KEYS}")
    known = {
        str(kind): _price(price, kind, family) for kind, price in prices.items() if kind != LONG
    }
    beyond = {
        str(kind): _price(value, kind, family) // _NANO_MILLI
        for kind, value in long.items()
        if kind != ABOVE
    }
    factors = {kind: known[kind] // _NANO_MILLI for kind in FACTORS if kind in known}
    written = known.get("cache_write", known["input"])
    return Rates(
        input=known["input"],
        output=known["output"],
        cache_read=known.get("cache_read", known["input"]),
        cache_write=written,
        cache_write_1h=known.get("cache_write_1h", written),
        web_search=known[WEB_SEARCH] // _MILLI if WEB_SEARCH in known else None,
        fast=factors.get(FAST),
        batch=factors.get(BATCH),
        long_above=_tokens(long[ABOVE], family) if long else None,
        long_input=beyond.get("input", _MILLI),
        long_output=beyond.get("output", _MILLI),
    )


def _tokens(count: object, family: object) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise BadSetting(
            f"{LONG!r} of {family!r} begins {ABOVE!r} {count!r}; give a number of tokens"
        )
    return count


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
