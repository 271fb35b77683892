"""RFC 6455 by the Autobahn test suite, through our whole server."""
