"""The pool at the edge: calls over sockets, messages, and what an operator sees."""
