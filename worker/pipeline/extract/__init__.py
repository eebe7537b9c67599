"""From lines and barcodes to the fields that a warehouse needs.

Each kind of value has a finder, which proposes candidates; `extract` settles between them, matches them with barcodes
and repairs them by evidence.
"""
