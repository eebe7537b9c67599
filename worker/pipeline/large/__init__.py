"""Pages that are too large to be searched as a whole.

In: a page's rows, from memory or while they are decoded. Out: its lines, barcodes and quality. Invariant: pixels are
held a band at a time, whatever the page's size.
"""
