"""The core: pure, synchronous functions over plain values; it decides and never acts."""
