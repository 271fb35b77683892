"""The README's commands, as a stranger would run them."""
