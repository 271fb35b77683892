"""The whole flow on a virtual clock, with faults."""
