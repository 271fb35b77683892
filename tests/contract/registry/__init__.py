"""One suite for every registry of gateways."""
