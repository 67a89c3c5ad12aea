"""Slow, obvious oracles: second copies on purpose, written from the equations alone."""
