"""The store: migrations, the offset checkpoints, batch writes and named queries."""
