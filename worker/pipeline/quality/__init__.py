"""How well a page can be read.

In: a page's pixels, or windows of it, and its regions of text. Out: a score with reasons, or a refusal where the
deployment asks for it. Invariant: a page is judged before any of its lines is read.
"""
