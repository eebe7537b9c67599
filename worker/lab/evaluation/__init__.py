"""Measures how well a system reads: truth, scores, comparison, and the systems that are compared."""
