"""Units of event time."""
