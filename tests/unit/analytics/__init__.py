"""Units of the pure core."""
