"""Puts the embedded stack under demo, eval and bench."""
