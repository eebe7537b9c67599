"""Evaluates a model set before it is deployed, beside the one in use.

In: one or two built repositories and pictures with truth. Out: a verdict, with the scores and times that led to it.
Invariant: both are read by the whole pipeline, picture by picture in turn, and judged by the same scorer.
"""
