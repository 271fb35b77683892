"""Units of what a stream amounts to."""
