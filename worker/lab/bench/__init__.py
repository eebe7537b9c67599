"""Measures speed: this worker beside what a user would build without it, on the same broker, cores and pictures."""
