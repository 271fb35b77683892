"""What GitHub says of its own webhooks, held against ours."""
