"""Measured claims, each one command: `python -m benchmarks.NAME`."""
