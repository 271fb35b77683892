"""Log buckets: their edges, their bytes and what is no sketch."""

import pytest

from analytics.measures.sketch import (
    COUNT_MAX,
    ZERO_BUCKET,
    BadSketch,
    add,
    bucket_of,
    from_bytes,
    quantile,
    to_bytes,
    value_of,
)


@pytest.mark.parametrize(
    ("value", "bucket"),
    [(0, ZERO_BUCKET), (-5, ZERO_BUCKET), (1, -1), (2, 31), (4, 63), (0.5, -33), (2**62, 1983)],
)
def test_powers_of_two_end_their_buckets_as_in_opentelemetry(value: float, bucket: int) -> None:
    assert bucket_of(value) == bucket


def test_just_above_a_power_of_two_the_next_bucket_begins() -> None:
    assert bucket_of(2.000001) == 32


def test_the_bytes_are_sorted_little_endian_pairs() -> None:
    assert to_bytes({31: 2, -1: 1}) == b"\xff\xff\x01\x00\x00\x00\x1f\x00\x02\x00\x00\x00"
    assert to_bytes({ZERO_BUCKET: 1})[:2] == b"\x00\x80"


def test_counts_saturate_and_what_is_not_above_zero_is_left_out() -> None:
    assert from_bytes(to_bytes({1: COUNT_MAX + 5, 2: 0, 3: -1})) == {1: COUNT_MAX}


def test_joined_sketches_read_as_their_sum() -> None:
    assert from_bytes(to_bytes({1: 2}) + to_bytes({1: 3})) == {1: 5}


def test_bytes_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(BadSketch, match="7 bytes"):
        from_bytes(b"1234567")


def test_nothing_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({3: 0}, 0.5) is None


def test_zeros_have_a_bucket_of_their_own() -> None:
    counts: dict[int, int] = {}
    for value in (0, 0, 0, 1_000):
        add(counts, value)

    assert quantile(counts, 0.5) == 0.0 == value_of(ZERO_BUCKET)
    assert quantile(counts, 1.0) == pytest.approx(1_000, rel=0.011)
