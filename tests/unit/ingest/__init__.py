"""What the gateway makes of what agents send: OTLP, hooks and transcripts."""
