"""What a stream of events amounts to: cost, tokens, latency sketches, sessions and totals."""
