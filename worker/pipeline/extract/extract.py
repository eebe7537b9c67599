"""Lines and barcodes to fields: propose, resolve_overlaps, match."""

from worker.domain.fields import Field
from worker.domain.image import PageText
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.numbers.barcode_matching import match_barcodes
from worker.pipeline.extract.options import FieldOptions
from worker.pipeline.extract.registry import finders_for
from worker.pipeline.extract.resolve_overlaps import resolve_overlaps


def extract(page: PageText, options: FieldOptions) -> tuple[Field, ...]:
    """Return the fields of a page in reading order, those that only barcodes hold last.

    A pure function of the page's lines and barcodes; `page.fields` plays no part.
    """
    neighbors = Neighbors.of(page)
    proposed = (candidate for find in finders_for(options) for candidate in find(page, neighbors))
    settled = resolve_overlaps(candidate for candidate in proposed if options.wants(candidate.type))
    return tuple(field for field in match_barcodes(page, settled, options.catalog) if options.wants(field.type))
