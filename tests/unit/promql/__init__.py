"""Tests of analytics.promql."""
