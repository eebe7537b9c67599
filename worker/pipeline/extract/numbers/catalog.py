"""All numbers that are looked for: those of standards, and those of carriers.

In: what `carriers.toml` and a deployment's file declare. Invariant: a catalog never changes, and its forms stand in the
order in which they are tried.
"""

import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from worker.pipeline.extract.numbers.captions import CarrierNames
from worker.pipeline.extract.numbers.carriers import SHIPPED_FILE, CarrierNumbers, parse_carrier_numbers
from worker.pipeline.extract.numbers.forms import Form
from worker.pipeline.extract.numbers.standards import STANDARD_FORMS


@dataclass(frozen=True, slots=True, eq=False)
class NumberCatalog:
    """All forms of numbers that are looked for. Make it by `of`, once.

    `carrier_numbers` is what the files declare; `carriers` finds the carriers' names in text. `by_length` has the forms
    for each length of a number, `lengths_by_type` the lengths of each type of field.
    """

    carrier_numbers: CarrierNumbers
    carriers: CarrierNames
    forms: Sequence[Form]
    by_length: Mapping[int, Sequence[Form]]
    lengths_by_type: Mapping[str, frozenset[int]]
    types: frozenset[str]

    @classmethod
    def of(cls, carrier_numbers: CarrierNumbers) -> "NumberCatalog":
        """Return the catalog of the standards' numbers and these of carriers."""
        forms = (*STANDARD_FORMS, *chain.from_iterable(carrier_numbers.forms.values()))
        by_length: dict[int, list[Form]] = defaultdict(list)
        lengths: dict[str, set[int]] = defaultdict(set)
        for form in forms:
            by_length[len(form.positions)].append(form)
            lengths[form.type].add(len(form.positions))
        return cls(
            carrier_numbers,
            CarrierNames.of(carrier_numbers.names),
            forms,
            dict(by_length),
            {name: frozenset(known) for name, known in lengths.items()},
            frozenset({form.type for form in STANDARD_FORMS} | set(carrier_numbers.forms)),
        )


def _shipped() -> CarrierNumbers:
    tables = tomllib.loads(SHIPPED_FILE.read_text(encoding="utf-8"))
    return parse_carrier_numbers(SHIPPED_FILE, tables, {})


BUILT_IN_CATALOG: Final = NumberCatalog.of(_shipped())
NUMBER_TYPES: Final = BUILT_IN_CATALOG.types
