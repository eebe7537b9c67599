"""Which lines belong together, and in which order they are read.

In: lines where they stand. Out: the same text in reading order, with stacked characters joined to lines. Invariant: no
character is lost or read twice.
"""
