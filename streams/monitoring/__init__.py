"""The worker's stage behind closed windows: anomalies, forecasts and alerts, exactly once."""
