"""Tests without input or output, laid out as the source is."""
