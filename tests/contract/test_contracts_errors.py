"""One tree of errors: callers branch on its middle, machines on its codes."""

import pytest

from analytics.contracts import errors
from analytics.contracts.errors import (
    BadEvent,
    BrokerAway,
    Fenced,
    MainstemError,
    Refused,
    Unavailable,
    UnknownEvent,
)


def _tree(kind: type[MainstemError]) -> list[type[MainstemError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _tree(child))]


OURS = [kind for kind in _tree(MainstemError) if kind.__module__ == errors.__name__]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in OURS]

    assert len(codes) == len(set(codes))
    assert all(code == code.lower() and " " not in code for code in codes)


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_every_error_is_refused_or_unavailable_or_fenced(kind: type[MainstemError]) -> None:
    branches = [issubclass(kind, branch) for branch in (Refused, Unavailable, Fenced)]

    assert sum(branches) == (0 if kind is MainstemError else 1)


def test_a_bad_event_quotes_no_more_than_a_few_bytes_of_its_payload() -> None:
    error = BadEvent(reason="no", payload=b"s" * 100 + b"ecret")

    assert "ecret" not in str(error)
    assert "105 bytes" in str(error)
    assert issubclass(UnknownEvent, BadEvent)


def test_what_is_unavailable_says_when_to_come_again() -> None:
    assert BrokerAway("the broker is away", retry_after_ms=250).retry_after_ms == 250
    assert Unavailable("later").retry_after_ms == 1_000
