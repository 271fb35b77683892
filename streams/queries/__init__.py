"""Named, read-only queries for people who look: every one is bounded and asks for one tenant.

They answer from the coarsest windows that suffice for the span asked for, hold no state and run on
a connection that the caller lends. Nothing here writes.
"""
