"""`mainstem up` as users run it: real processes, a real broker and store, a folder of its own."""
