"""Agreement with a real Prometheus."""
