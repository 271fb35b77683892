"""Tests of `analytics.anomaly`."""
