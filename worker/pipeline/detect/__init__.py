"""Where text stands on a page.

In: a page's pixels. Out: regions, quadrilaterals in page pixels that hold one line each. Invariant: regions are found
on one probability map of the page, so no line is cut by the edge of a tile, and each is in pixels of the page as it
lies, however it was scaled or turned for the search.
"""
