"""Pages of PDF documents, drawn by PDFium in a process of its own.

In: a document's bytes. Out: the sizes and the pixels of its pages. Invariant: no document ends the worker.
"""
