"""Programs people run; the only place where parts are wired together."""
