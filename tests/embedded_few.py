"""The embedded profile as most tests serve it.

A graph of fixed sizes takes 0.3 s of each core to compile, and the default has 24 of them. What is built by default has
tests of its own (`tests/models/test_static_shapes.py`).
"""

from dataclasses import replace

from worker.models.profiles import Profile, select_profile


def few_static_shapes() -> Profile:
    """The embedded profile with few graphs of fixed sizes."""
    return replace(select_profile("embedded"), static_widths=(96, 160, 256, 320), static_tiles=())
