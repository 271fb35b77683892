"""The gateway as it runs: a real server, a real broker, real clients."""
