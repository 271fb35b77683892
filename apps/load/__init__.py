"""Loads for a running Mainstem: the demo fleet, replayed from real trajectories."""
