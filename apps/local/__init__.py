"""The embedded stack: broker, database and the supervisor that keeps them."""
