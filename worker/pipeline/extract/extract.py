"""The fields of a page: candidates are proposed, overlaps resolved, and what is left is matched with the barcodes."""

from worker.domain.fields import Field
from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Finder
from worker.pipeline.extract.context.finder import ContextFinder
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.numbers.barcode_matching import match_barcodes
from worker.pipeline.extract.numbers.finder import NumberFinder
from worker.pipeline.extract.options import FieldOptions
from worker.pipeline.extract.resolve_overlaps import resolve_overlaps


def extract(page: PageText, options: FieldOptions) -> tuple[Field, ...]:
    """Return the fields of a page in reading order; fields that only barcodes hold come last.

    A pure function of the page's lines and barcodes; `page.fields` plays no part.
    """
    finders: tuple[Finder, ...] = (NumberFinder(options.catalog), ContextFinder(options.phone_region), *options.finders)
    neighbors = Neighbors.of(page)
    candidates = [candidate for find in finders for candidate in find(page, neighbors)]
    kept = resolve_overlaps(candidate for candidate in candidates if options.wants(candidate.type))
    return tuple(field for field in match_barcodes(page, kept, options.catalog) if options.wants(field.type))
