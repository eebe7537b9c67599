"""Pixels of a page, whole or in strips.

In: encoded bytes and their header. Out: uint8 BGR, upright. Invariant: a page that lacks any of its pixels is refused,
never filled up; strips have the same pixels as the whole page.
"""
