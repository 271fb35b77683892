"""The protocol held to by its own clients."""
