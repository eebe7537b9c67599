"""Fields that a deployment declares by a pattern, with captions, a check digit and a normal form.

Invariant: no text makes a pattern slow. RE2 matches in time proportional to the text and in bounded memory; it has
neither look-around nor back references.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final

import re2

from worker.domain.fields import Check
from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.folding import phrases, skeleton
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.numbers.checks import gs1, s10
from worker.pipeline.extract.text_span import Span

_MAX_CHARACTERS: Final = 1000  # of a line
_PATTERN_MEMORY_BYTES: Final = 1024 * 1024
_MAX_MATCHES: Final = 32  # in a line
_S10: Final = re.compile(r"[A-Z]{2}[0-9]{9}[A-Z]{2}")

_LABELED: Final = 0.9
_PROVEN: Final = 0.7
_MATCHED: Final = 0.5

# The modules of python-stdnum that a file may name: it can load no other code.
_STANDARD_NUMBERS: Final = (
    "au.abn", "bic", "br.cnpj", "ch.esr", "cn.uscc", "damm", "de.idnr", "ean", "eu.vat", "fr.siren", "fr.siret",
    "gb.utr", "grid", "iban", "imei", "imo", "in_.gstin", "isan", "isbn", "isin", "ismn", "isni", "iso11649",
    "iso6346", "issn", "it.codicefiscale", "lei", "luhn", "meid", "mx.rfc", "nl.bsn", "us.ein", "us.rtn", "verhoeff",
)  # fmt: skip
_ALGORITHMS: Final = {
    "mod10": "ean",
    "luhn": "luhn",
    "mod97": "iso7064.mod_97_10",
    "mod11": "iso7064.mod_11_2",
    "iso6346": "iso6346",
}
NO_CHECK: Final = "none"


class PatternError(ValueError):
    """RE2 does not take a pattern; the message says why."""


def known_checks() -> tuple[str, ...]:
    """Return the names of all checks."""
    return (NO_CHECK, *sorted(_ALGORITHMS), "s10", *(f"stdnum:{module}" for module in _STANDARD_NUMBERS))


def compiled(pattern: str) -> Any:  # noqa: ANN401 - RE2 ships no types
    """Compile a pattern. Raises PatternError."""
    options = re2.Options()
    options.max_mem = _PATTERN_MEMORY_BYTES
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it cannot be read"
        raise PatternError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error


def check_named(name: str) -> Callable[[str], bool] | None:
    """Return the check of a name out of `known_checks`, None for `none`."""
    if name == NO_CHECK:
        return None
    if name == "s10":
        return _s10
    if name == "mod10":
        return _mod_10
    return partial(_standard, import_module(f"stdnum.{_ALGORITHMS.get(name) or name.removeprefix('stdnum:')}"))


def _mod_10(number: str) -> bool:
    return number.isdecimal() and number.isascii() and gs1(number)


def _s10(number: str) -> bool:
    return _S10.fullmatch(number) is not None and s10(number)


def _standard(module: Any, number: str) -> bool:  # noqa: ANN401 - stdnum ships no types
    return bool(module.is_valid(number))


@dataclass(frozen=True, slots=True, eq=False)
class PatternField:
    """Finds one type of value. Make it by `of`.

    The value is the pattern's first group, or all that the pattern matches, without the characters in `strip`, and in
    capitals with `upper`. With `labels` a value counts only beside one of them; without, only if its check does
    not fail.
    """

    name: str
    pattern: str
    check: str
    labels: tuple[str, ...]
    strip: str
    upper: bool
    _compiled: Any
    _is_right: Callable[[str], bool] | None
    _caption: re.Pattern[str] | None

    @classmethod
    def of(
        cls,
        name: str,
        pattern: str,
        *,
        check: str = NO_CHECK,
        labels: tuple[str, ...] = (),
        strip: str = "",
        upper: bool,
    ) -> "PatternField":
        """Compile the field. `check` is one of `known_checks`. Raises PatternError."""
        caption = re.compile(rf"(?<![A-Z])(?:{phrases(labels)})(?![A-Z])") if labels else None
        return cls(name, pattern, check, labels, strip, upper, compiled(pattern), check_named(check), caption)

    def matches_nothing(self) -> bool:
        """Whether the pattern matches the empty text."""
        return self._compiled.search("") is not None

    def __call__(self, page: PageText, neighbors: Neighbors, /) -> Iterator[Candidate]:
        """Yield the values of a page."""
        for line_id, line in enumerate(page.lines):
            for span in self._spans(line.text, line_id):
                candidate = self._candidate(span, line.text[span.start : span.stop], line.confidence, neighbors)
                if candidate is not None:
                    yield candidate

    def _spans(self, text: str, line_id: int) -> Iterator[Span]:
        text, start = text[:_MAX_CHARACTERS], 0
        for _ in range(_MAX_MATCHES):
            match = self._compiled.search(text, start)
            if match is None:
                return
            group = 1 if match.re.groups and match.group(1) else 0
            if match.group(group):
                yield Span(line_id, match.start(group), match.end(group))
            start = max(match.end(), start + 1)

    def _candidate(self, span: Span, text: str, confidence: float, neighbors: Neighbors) -> Candidate | None:
        value = "".join(character for character in text if character not in self.strip)
        value = value.upper() if self.upper else value
        check = Check.NONE
        if self._is_right is not None:
            check = Check.PASSED if self._is_right(value) else Check.FAILED
        if not value or (self._caption is None and check is Check.FAILED):
            return None
        if self._caption is not None and not self._is_labeled(span, neighbors):
            return None
        evidence = _LABELED if self._caption else _PROVEN if check is Check.PASSED else _MATCHED
        return Candidate(self.name, value, text, (span,), check, confidence, evidence)

    def _is_labeled(self, span: Span, neighbors: Neighbors) -> bool:
        caption = self._caption
        return caption is not None and any(caption.search(skeleton(near.text)) for near in neighbors.captions(span))
