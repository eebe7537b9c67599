"""What the lines of a page say.

In: a page's pixels and its regions. Out: lines with text, confidence and alternatives, and which way up each stands.
Invariant: crops come from the original pixels, and every line is sent upright, as far as a vote of the page and its own
reading tell.
"""
