"""What other services tell the gateway, signed by them."""
