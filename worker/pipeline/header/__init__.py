"""What a picture claims to be, read from its bytes.

In: encoded bytes. Out: format, pages and their sizes. Invariant: no memory for pixels is taken, whatever a header
claims.
"""
