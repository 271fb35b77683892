"""Online anomaly detection, one bounded state a series: novelty of a value and of its shape."""
