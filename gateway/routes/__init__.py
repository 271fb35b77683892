"""What the gateway answers over HTTP, one module an ingest path."""
