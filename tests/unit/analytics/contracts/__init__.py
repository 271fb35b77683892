"""Units of what rooms share."""
