"""One suite for every tier that has more of the past than memory."""
