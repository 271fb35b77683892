"""Alertmanager's notify: receivers, what they are sent, and what follows from an attempt."""
