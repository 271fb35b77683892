"""WebSockets: the endpoint, each connection, its writer and its send buffer."""
