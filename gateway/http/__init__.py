"""HTTP: the server, its guard, authentication, limits, rates and errors."""
