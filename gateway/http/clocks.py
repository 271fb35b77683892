"""Time, chance and names, as what serves is given them."""

from collections.abc import Callable

from msgspec import Struct


class Clocks(Struct, frozen=True, kw_only=True):
    """Time, chance and names, passed in so that tests can set them."""

    now_ms: Callable[[], int]
    wall_ms: Callable[[], int]
    jitter: Callable[[], float]
    new_id: Callable[[], str]
