"""Which lines belong together, and in which order they are read.

In: the page's pixels and regions, for columns of characters; lines as they were read. Out: lines in their places on the
page, in reading order, stacked characters joined to one. Invariant: what was read stays as it is, but for lines under
the least confidence and blank ones, which are dropped, and columns of characters, each read or joined once.
"""
