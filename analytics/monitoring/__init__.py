"""What is watched of a tenant's closed windows: readings in, scores, anomalies and reasons out."""
