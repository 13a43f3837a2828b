"""Benchmarks of super-resolution networks: latency tables of the IDRN paper, and accuracy against latency."""
