"""Numbers of standards and carriers, proven by check digits, captions and barcodes.

In: lines and barcodes of a page. Out: candidates (`finder`), and in the end fields (`barcode_matching`).
`standards` and `carriers.toml` declare the forms of numbers; `catalog` holds them all. For the finder, `token_runs`
cuts lines into what may be one number, `forms` and `checks` test it, `captions` says what it is called,
`barcode_numbers` what the barcodes hold, and `repair` corrects what was misread.

Invariant: a check digit alone proves no number of a common shape; it needs a caption, a way of printing, the carrier's
name or a barcode besides.
"""
