"""Chooses how models are served on a CPU, by the pictures that come: `labelwire models tune`.

In: pictures. Out: a tuning, which `labelwire models build --tuning` takes, with every candidate that was tried.
Invariant: a candidate is taken only for what was measured beside the best one so far, and only if it reads as well as
the default.
"""
