"""Pages that are too large to be searched as a whole.

In: a page's rows, from memory or while they are decoded. Out: its lines, barcodes and quality. The survey passes over
the rows once, the first pass has the detector look at what the survey collected, the scan plan lays bands of tiles
where there is anything, and the band search takes them from top to bottom. Invariant: of a page that is decoded while
it is read no more is held than a window of rows, whatever its height.
"""
