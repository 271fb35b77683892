"""What the gateway answers over HTTP, one module a road."""
