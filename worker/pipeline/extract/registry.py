"""All finders: one line each."""

from functools import lru_cache

from worker.pipeline.extract.candidate import Finder
from worker.pipeline.extract.context.finder import ContextFinder
from worker.pipeline.extract.numbers.finder import NumberFinder
from worker.pipeline.extract.options import FieldOptions


@lru_cache(maxsize=8)
def finders_for(options: FieldOptions) -> tuple[Finder, ...]:
    """Return what looks for fields: the built-in finders, then the deployment's own."""
    return (NumberFinder(options.catalog), ContextFinder(options.phone_region), *options.finders)
