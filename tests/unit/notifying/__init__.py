"""Notices on their way to receivers."""
