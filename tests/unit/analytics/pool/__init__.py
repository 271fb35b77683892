"""The pool's decisions, one by one."""
