"""Token counts made disjoint where a sender's own overlap."""

from msgspec import Struct


class InputTokens(Struct, frozen=True):
    """What a request read: afresh, from the cache, and into the cache; nothing counted twice."""

    input: int
    cache_read: int
    cache_write: int


def without_cache(given: int, cache_read: int, cache_write: int) -> InputTokens:
    """Return disjoint counts from an input that holds its cached parts.

    Parts larger than the whole show a sender that had them apart already.
    """
    cached = cache_read + cache_write
    return InputTokens(given - cached if cached <= given else given, cache_read, cache_write)


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
