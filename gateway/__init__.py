"""Sockets in, Kafka out: WebSocket, OTLP, hooks and batches become events."""
