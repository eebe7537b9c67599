"""Numbers of standards and carriers, proven by their check digits, their captions and the barcodes."""
