"""Finds a recipe for a lower precision and lets it pass the gate, or not.

In: pictures with truth, and a detector and a recognizer. Out: a recipe, which `labelwire models build` takes.
Invariant: a recipe is written only if the whole pipeline reads the pictures with it as well as in FP32, within limits.
"""
