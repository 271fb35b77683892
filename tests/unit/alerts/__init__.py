"""Tests of rules, templates, states, routing and notification."""
