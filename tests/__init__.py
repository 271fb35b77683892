"""What Mainstem promises, one sentence a test."""
