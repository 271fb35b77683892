"""Prometheus' rules: files of them, their evaluation, their tests and the life of an alert."""
