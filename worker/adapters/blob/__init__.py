"""The real `BlobStore`: object stores by obstore, https by aiohttp, files. Only this package imports those two."""

from worker.adapters.blob.store import UriStore

__all__ = ["UriStore"]
