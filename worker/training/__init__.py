"""The way back to training: results, doubtful lines and dead letters as training data for PaddleOCR and docTR.

Invariant: nothing is written of a record whose consent is not known, and a picture is in one split only.
"""
