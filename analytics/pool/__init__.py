"""The pool of agents as decisions: who lives, who is picked, who is trusted, who holds what."""
