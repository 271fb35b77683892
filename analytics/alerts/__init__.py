"""Alerts: rule files, the life of an alert, routing, silences and what is told to whom."""
