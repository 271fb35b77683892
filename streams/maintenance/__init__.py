"""Maintenance of the store: rollups, retention, erasure, and the jobs that are due."""
