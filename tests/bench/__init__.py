"""Benchmarks: numbers with a goal, run by `mainstem bench`."""
