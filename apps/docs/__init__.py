"""The documents that are generated from code: events, AsyncAPI, settings and metrics."""
