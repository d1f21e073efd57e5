"""Smokes of the benchmarks: small, so that they stay right."""
