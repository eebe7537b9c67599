"""Pixels of a page, whole or in strips.

In: encoded bytes and their header. Out: uint8 BGR; a whole page upright by EXIF, strips as they are stored. Invariant:
a page that lacks any of its pixels is refused, never filled up; strips have the same pixels as the whole page.
"""

import os

# What libvips warns of goes nowhere, for what matters is in its errors too. It also warns when a file is closed that it
# warned of before. If Python's search for cycles closed one while pyvips logs a warning, GLib would take that for an
# endless loop and abort the process: so no Python runs for a warning.
os.environ["VIPS_WARNING"] = "off"  # read once, when libvips is loaded

import pyvips

pyvips._remove_log_handler()  # noqa: SLF001 - pyvips has no other way; it calls this at its end
