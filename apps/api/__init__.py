"""The query API: questions about the fleet, answered from the store over HTTP."""
