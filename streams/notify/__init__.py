"""Tells receivers of alerts: rows of table `notices`, sent at least once and in order."""
