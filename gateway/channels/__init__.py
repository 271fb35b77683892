"""Channels: what topics say, followed once by this gateway and told to everybody who watches."""
