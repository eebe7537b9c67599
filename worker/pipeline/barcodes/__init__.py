"""The barcodes of a page.

In: a page's pixels, or strips of them. Out: each symbol once, with corners, text and GS1 elements. Invariant:
what zxing-cpp's plain call reads on the same pixels is read here too.
"""
