"""Laws of the detector: causal, bounded scores, and the same after a restart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.anomaly.detector import Detector
from analytics.anomaly.specs import DetectorSpec, SeriesKind

readings = st.lists(
    st.tuples(
        st.integers(0, 10_000_000),
        st.one_of(st.floats(), st.sampled_from([0.0, 1.0, 5.0]), st.floats(-100, 100)),
    ),
    max_size=120,
)
specs = st.builds(DetectorSpec, kind=st.sampled_from(SeriesKind))


@pytest.mark.requirement("anomaly-bounded-and-resumable")
@given(spec=specs, given_readings=readings, cut=st.integers(0, 120))
def test_a_restored_detector_goes_on_as_if_nothing_had_been(
    spec: DetectorSpec, given_readings: list[tuple[int, float]], cut: int
) -> None:
    whole, resumed = Detector(spec), Detector(spec)

    for row, (at_ms, value) in enumerate(given_readings):
        if row == cut:
            resumed = Detector.restore(resumed.snapshot())
        one, other = whole.learn(at_ms, value), resumed.learn(at_ms, value)
        assert repr(one) == repr(other)
        assert 0 <= one.score <= 1
    assert whole.snapshot() == resumed.snapshot()
