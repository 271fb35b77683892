"""One command a module: `command` holds its options; heavy imports are inside it."""
