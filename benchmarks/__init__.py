"""Benchmarks: `python -m benchmarks.NAME --json` prints one JSON object; each asserts that its answers are right."""
