"""How well a page can be read.

In: a page's pixels and its regions of text. Out: a score with reasons, or a refusal. Invariant: a page is judged before
any of its lines is read.
"""
