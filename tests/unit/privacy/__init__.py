"""The filter of people's data."""
