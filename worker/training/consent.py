"""Which records may be kept as training data: pictures are customers' data.

Invariant: a record is allowed only if it says so itself, each time that it names the header, or if the operator says so
of all records.
"""

from dataclasses import dataclass
from typing import Final, Self

from worker.domain.errors import LabelwireError
from worker.domain.records import Record

DEFAULT_HEADER: Final = "labelwire.consent=training"


@dataclass(frozen=True, slots=True)
class Consent:
    """The header `name` that carries the consent and the `value` that gives it; with `granted` all records have it."""

    name: str
    value: str
    granted: bool = False

    @classmethod
    def parse(cls, header: str | None, *, granted: bool) -> Self:
        """Read `NAME=VALUE`; None is the default header. Raises LabelwireError."""
        if granted and header is not None:
            raise LabelwireError(
                "--consent-granted says that all records may be kept and --consent-header that only some may: give one "
                "of them."
            )
        name, separator, value = (header or DEFAULT_HEADER).partition("=")
        if not (name.strip() and separator and value):
            raise LabelwireError(f"--consent-header {header!r} is not NAME=VALUE, as {DEFAULT_HEADER}.")
        return cls(name.strip(), value, granted)

    @property
    def basis(self) -> str:
        """What the manifest says of why a record may be kept."""
        return "operator" if self.granted else f"header {self.name}={self.value}"

    def allows(self, record: Record) -> bool:
        """Say whether a record may be kept. One that names the header twice has to say yes twice."""
        if self.granted:
            return True
        named = [value for name, value in record.headers if name.lower() == self.name.lower()]
        return bool(named) and all(value == self.value.encode() for value in named)
