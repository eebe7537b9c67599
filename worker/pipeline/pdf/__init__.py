"""Pages of PDF documents, drawn by PDFium in a process of its own."""

from worker.pipeline.pdf.pages import claims, render

__all__ = ["claims", "render"]
