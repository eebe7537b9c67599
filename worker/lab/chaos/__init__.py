"""Chaos: load through real parts, faults from one seed, and the audit as judge."""
