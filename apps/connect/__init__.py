"""Coding agents' own settings: connected to this machine's gateway, and put back as they were."""
