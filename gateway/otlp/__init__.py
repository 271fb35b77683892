"""OpenTelemetry records as they come over HTTP, decoded and mapped to events of ours."""
