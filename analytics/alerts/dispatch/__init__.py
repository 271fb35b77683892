"""Alertmanager's dispatch: the routing tree, groups of alerts, and when each group is notified."""
