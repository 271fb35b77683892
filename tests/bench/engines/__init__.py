"""The engines that `tests.bench.streams` compares, one a module, each run in its own process."""
