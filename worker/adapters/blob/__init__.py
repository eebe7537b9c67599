"""The real `BlobStore`: object stores by obstore, https by aiohttp, files. Only this package imports those two.

Beside it, `object_folder.py` reads and writes objects in a folder, for the registry of models.
"""

from worker.adapters.blob.store import UriStore

__all__ = ["UriStore"]
