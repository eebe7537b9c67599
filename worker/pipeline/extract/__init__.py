"""Lines and barcodes of a page in, the fields that a warehouse needs out: `extract.extract`.

The way of a page:
1. `LineIndex` and `Neighbors` say what stands beside and above each line.
2. Finders propose candidates: `numbers/` by shape, check digit and caption, `context/` and `addresses/` by the words
   around, `custom/` what a deployment declares.
3. `resolve_overlaps` decides between candidates on the same characters.
4. `numbers/barcode_matching` compares what is left with the barcodes.

Invariant: fields depend on the lines and barcodes alone. Where two values or two types are possible, a field is given
unproven (`check: none`) or not at all.
"""
