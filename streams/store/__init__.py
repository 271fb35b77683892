"""The store: migrations, the offset ledger, batch writes and named queries."""
