"""How figures are reported: by `mainstem bench`, whose benchmarks live beside the tests."""
