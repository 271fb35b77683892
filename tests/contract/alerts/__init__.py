"""Agreement with Prometheus' and Alertmanager's own tools."""
