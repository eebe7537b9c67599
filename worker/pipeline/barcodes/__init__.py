"""The barcodes of a page.

In: a page's pixels, or pieces of them. Out: each symbol once, with corners, text and GS1 elements, and the areas that
hold no text because of symbols. Invariant: what zxing-cpp's plain call reads on the same pixels is read here too, but
for what print or noise would give as well.
"""
