"""Graphs in FP16 and INT8, and the recipes that say which of their layers stay in FP32.

Invariant: no graph of a lower precision gets into a repository unless its recipe passed the accuracy gate on real
pictures, together with the other models of its pair.
"""
