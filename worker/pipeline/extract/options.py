"""Which fields a deployment wants."""

from dataclasses import dataclass

from worker.pipeline.extract.candidate import Finder
from worker.pipeline.extract.numbers.catalog import BUILT_IN_CATALOG, NumberCatalog


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """Which fields are looked for.

    `types` are the types that results carry, None for all. `phone_region` is the country (ISO 3166-1, as `DE`) of
    telephone numbers without a country code. `finders` are the deployment's own. `catalog` holds the numbers that
    are looked for, those of the deployment among them.
    """

    types: frozenset[str] | None = None
    phone_region: str | None = None
    finders: tuple[Finder, ...] = ()
    catalog: NumberCatalog = BUILT_IN_CATALOG

    def wants(self, field_type: str) -> bool:
        """Whether fields of this type are wanted."""
        return self.types is None or field_type in self.types
