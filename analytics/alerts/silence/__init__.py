"""Alertmanager's silences: alerts that somebody does not want to hear of for a while."""
