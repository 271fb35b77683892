"""Token counts made disjoint where a sender's own overlap."""

from msgspec import Struct


class InputTokens(Struct, frozen=True):
    """What a request read: afresh, from the cache, and into the cache; nothing counted twice."""

    input: int
    cache_read: int
    cache_write: int


def without_cache(
    given: int, cache_read: int, cache_write: int, *, output: int = 0, total: int | None = None
) -> InputTokens:
    """Return disjoint counts from an input that holds its cached parts, unless the total says else.

    A total of input, cache and output shows a sender that has them apart; so do parts that are
    larger than the whole. A total that leaves out one of the cached parts shows that only the
    other one is apart.
    """
    cached = cache_read + cache_write
    apart = 0 if total is None else total - output - given
    within = cached - apart if apart in (0, cache_read, cache_write, cached) else cached
    return InputTokens(given - within if within <= given else given, cache_read, cache_write)


def gemini_tokens(
    *, given: int, output: int, thoughts: int, tool: int, total: int
) -> tuple[int, int]:
    """Return input and output with tool and thought tokens in them, as the total tells.

    The vendor's total is input, output, thoughts and tool results added up; a total without one of
    the latter shows that it was already in one of the former.
    """
    match total - given - output:
        case 0:
            return given, output
        case rest if rest == thoughts != tool:
            return given, output + thoughts
        case rest if rest == tool != thoughts:
            return given + tool, output
        case _:
            return given + tool, output + thoughts
