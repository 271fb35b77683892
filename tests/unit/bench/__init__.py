"""Tests of how figures are reported."""
