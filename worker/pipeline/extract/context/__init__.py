"""Fields without a check digit that proves them: dates, weights, telephone and VAT numbers, postcodes, addresses.

In: the lines of a page. Out: candidates (`finder`). `dates`, `weights`, `telephone` and `vat` each read one text; the
finder gives them its captions and the country of the address beside it.

Invariant: what can be read in two ways is left out, unless something else on the page decides.
"""
