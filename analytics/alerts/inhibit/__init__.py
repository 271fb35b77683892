"""Alertmanager's inhibition: alerts that are mute because others fire."""
