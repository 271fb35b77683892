"""What every room shares: ids, events, topics, the wire form and the tree of errors."""
