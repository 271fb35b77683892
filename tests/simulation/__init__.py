"""Whole flows on a virtual clock, with faults, from seeds."""
