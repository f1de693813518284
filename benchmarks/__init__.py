"""Benchmarks and the toon world; not installed."""
