"""The way of one page from bytes to text: decode, tile, detect, stitch, crop, read, assemble."""
