"""What the lines of a page say.

In: a page's pixels and its regions. Out: lines with text, confidence and alternatives. Invariant: crops come from the
original pixels, and each line is read the right way up.
"""
