"""Laws, with inputs that shrink."""
