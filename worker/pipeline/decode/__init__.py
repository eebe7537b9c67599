"""Pixels of a page, whole or in strips.

In: encoded bytes and their header. Out: uint8 BGR; a whole page upright by EXIF, strips as they are stored. Invariant:
a page that lacks any of its pixels is refused, never filled up; strips have the same pixels as the whole page.
"""
