"""What of people's data an event may hold: contents, e-mail addresses, home paths and secrets."""
