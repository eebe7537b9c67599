"""Lines and barcodes to fields: propose, resolve_overlaps, match."""

from worker.domain.fields import Field
from worker.domain.image import PageText
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.numbers.barcode_matching import match
from worker.pipeline.extract.options import FieldOptions
from worker.pipeline.extract.registry import finders_for
from worker.pipeline.extract.resolve_overlaps import resolve_overlaps


def extract(page: PageText, options: FieldOptions) -> tuple[Field, ...]:
    """Return the fields of a page in reading order, those that only barcodes hold last.

    A pure function of the page's lines and barcodes; `page.fields` plays no part.
    """
    around = Neighbors.of(page)
    proposed = (candidate for find in finders_for(options) for candidate in find(page, around))
    settled = resolve_overlaps(candidate for candidate in proposed if options.wants(candidate.type))
    return tuple(field for field in match(page, settled, options.kinds) if options.wants(field.type))
