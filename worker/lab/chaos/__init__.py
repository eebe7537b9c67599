"""Chaos runs: load on real parts, faults drawn from one seed, and a final check by the audit."""
