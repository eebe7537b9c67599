"""The numbers of carriers, read from `carriers.toml` and from a deployment's tables of the same form.

In: the tables of a TOML file. Out: `CarrierNumbers`, or SettingsError with what is wrong. A number without a published
check digit has `check = "none"`: it is found by its letters, a caption or the carrier's name, and is never proven.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.pipeline.extract.numbers import checks
from worker.pipeline.extract.numbers.captions import Topic
from worker.pipeline.extract.numbers.forms import Form, Proof, ShapeError, positions_of
from worker.pipeline.extract.toml_table import NAME, TomlTable

SHIPPED_FILE: Final = Path(__file__).with_name("carriers.toml")
CARRIERS_TABLE: Final = "carriers"
NUMBER_CHECKS: Final[Mapping[str, checks.CheckRule | None]] = {
    "none": None,
    "mod7": checks.ends_modulo_7,
    "mod10": checks.gs1,
    "luhn": checks.mod_10_luhn,
    "mod37_36": checks.dpd,
    "s10": checks.s10,
    "iso6346": checks.intermodal,
    "ups_1z": checks.ups_1z,
    "ups_waybill": checks.ups_waybill,
    "usps_20": checks.legacy_usps,
    "fedex": checks.fedex,
    "fedex_96": checks.fedex_96,
    "fedex_32": checks.fedex_32,
    "fedex_34": checks.fedex_34,
    "identcode": checks.identcode,
    "ontrac": checks.ontrac,
}
_PROOFS: Final = {"shape": Proof.SHAPE, "not denied": Proof.UNDENIED, "named": Proof.NAMED, "carried": Proof.CARRIED}
_TOPICS: Final = {topic.value: topic for topic in Topic if topic is not Topic.OTHER}
_FIELD_KEYS: Final = ("carrier", "numbers")
_NUMBER_KEYS: Final = (
    "shape", "check", "needs", "carrier", "captions", "groups", "certain", "not_from", "leave_out",
)  # fmt: skip
_MAX_NUMBERS: Final = 32  # shapes of a field
_MAX_NAMES: Final = 32  # of a carrier
_MAX_NAME_CHARACTERS: Final = 60
_MAX_SHAPE_CHARACTERS: Final = 200
_LENGTHS: Final = range(6, 41)  # shorter numbers are everywhere
_MAX_GROUPINGS: Final = 16


@dataclass(frozen=True, slots=True)
class CarrierNumbers:
    """The names by which labels call each carrier, and the shapes of each type of field, in the order of the file."""

    names: Mapping[str, Sequence[str]]
    forms: Mapping[str, Sequence[Form]]

    def with_replaced(self, others: "CarrierNumbers") -> "CarrierNumbers":
        """Return these numbers, with what the others add or replace."""
        return CarrierNumbers({**self.names, **others.names}, {**self.forms, **others.forms})


def parse_carrier_numbers(path: Path, tables: Mapping[str, Any], known: Mapping[str, Sequence[str]]) -> CarrierNumbers:
    """Return the names of carriers and the numbers that the tables of a file declare.

    `known` are the carriers that another file names. Raises SettingsError.
    """
    names = _names(path, tables.get(CARRIERS_TABLE, {}))
    carriers = {*known, *names}
    forms = {
        name: _forms(path, name, table, carriers)
        for name, table in tables.items()
        if name != CARRIERS_TABLE and declares_numbers(table)
    }
    return CarrierNumbers(names, forms)


def check_name(check: checks.CheckRule | None) -> str:
    """Return the name of a check in the files."""
    return next(name for name, other in NUMBER_CHECKS.items() if other is check)


def declares_numbers(table: object) -> bool:
    """Whether a table of the file declares numbers, and not a pattern."""
    return isinstance(table, dict) and "numbers" in table


def _names(path: Path, table: object) -> dict[str, tuple[str, ...]]:
    remedy = 'write carrier = ["its name", "another name"] below [carriers]'
    listed = TomlTable(path, f"the table [{CARRIERS_TABLE}]", table)
    if not isinstance(table, dict):
        raise listed.wrong(f"is {table!r} and no table", remedy)
    return {carrier: _names_of(listed, carrier) for carrier in table}


def _names_of(listed: TomlTable, carrier: str) -> tuple[str, ...]:
    if not NAME.fullmatch(carrier):
        raise listed.wrong(
            f"has the carrier {carrier!r}", "use small letters, digits and _, 40 at most, a letter first"
        )
    names = listed.texts(carrier, _MAX_NAMES)
    for name in names:
        if sum(map(str.isalnum, name)) < 2 or len(name) > _MAX_NAME_CHARACTERS:  # noqa: PLR2004 - a letter is no name
            remedy = f"give words of 2 to {_MAX_NAME_CHARACTERS} characters"
            raise listed.wrong(f"has the name {name!r} of {carrier}", remedy)
    return names


def _forms(path: Path, name: str, table: Mapping[str, Any], carriers: set[str]) -> tuple[Form, ...]:
    field = TomlTable(path, f"the field {name!r}", table)
    field.mapping(_FIELD_KEYS, f"write [{name}] and its keys below")
    numbers = table["numbers"]
    if not isinstance(numbers, list) or len(numbers) > _MAX_NUMBERS:
        raise field.wrong(f"has numbers = {numbers!r}", f"give a list of at most {_MAX_NUMBERS} tables")
    carrier = field.one_of("carrier", {"", *carriers}, "", "name it and its names below [carriers]")
    return tuple(
        _form(TomlTable(path, f"the field {name!r}, number {position},", number), name, carrier, carriers)
        for position, number in enumerate(numbers, 1)
    )


def _form(number: TomlTable, name: str, carrier: str, carriers: set[str]) -> Form:
    table = number.mapping(_NUMBER_KEYS, 'write { shape = "AB#{9}" }')
    if "shape" not in table:
        raise number.wrong("has no shape", "give one, as AB#{9} for AB and nine digits")
    shape = number.text("shape", _MAX_SHAPE_CHARACTERS)
    try:
        length = len(positions_of(shape))
    except ShapeError as error:
        remedy = "# is a digit, @ a letter, * either, [AB] one of these, {9} nine times, other characters themselves"
        raise number.wrong(f"has shape = {shape!r}: {error}", remedy) from error
    if length not in _LENGTHS:
        raise number.wrong(
            f"has shape = {shape!r} of {length} characters", f"{_LENGTHS[0]} to {_LENGTHS[-1]} are right"
        )
    proof = _PROOFS[number.one_of("needs", _PROOFS, "carried", f"there are {', '.join(_PROOFS)}")]
    carrier = number.one_of("carrier", {"", *carriers}, carrier, "name it and its names below [carriers]")
    if proof is Proof.CARRIED and not carrier:
        raise number.wrong("needs a carrier and names none", 'give carrier = "its name", or needs = "named"')
    check = number.one_of("check", NUMBER_CHECKS, "none", f"there are {', '.join(NUMBER_CHECKS)}")
    remedy = f"there are {', '.join(_TOPICS)}"
    form = Form(
        name,
        shape,
        NUMBER_CHECKS[check],
        proof,
        frozenset(_TOPICS[topic] for topic in number.some_of("captions", _TOPICS, ("tracking",), remedy)),
        carrier or None,
        certain=number.flag("certain", default=False),
        groups=_groups(number, table.get("groups", []), length),
        not_from=number.texts("not_from", _MAX_GROUPINGS),
        strip=number.whole_number("leave_out", length - _LENGTHS[0]),
    )
    if not _can_check(form):
        raise number.wrong(f"has check = {check!r}, which no number of the shape {shape!r} can have", "choose another")
    return form


def _groups(number: TomlTable, groups: object, length: int) -> tuple[tuple[int, ...], ...]:
    is_right = (
        isinstance(groups, list) and len(groups) <= _MAX_GROUPINGS and all(_adds_up(one, length) for one in groups)
    )
    if not is_right:
        raise number.wrong(f"has groups = {groups!r}", f"give lists of lengths as [[4, 4]], {length} characters in all")
    return tuple(tuple(one) for one in groups)  # type: ignore[attr-defined]


def _adds_up(sizes: object, length: int) -> bool:
    return isinstance(sizes, list) and all(type(size) is int and size > 0 for size in sizes) and sum(sizes) == length


def _can_check(form: Form) -> bool:
    """Whether the check can be computed over whatever the shape allows.

    It is tried with the lowest and the highest character of each position: digits come first, letters last.
    """
    chosen: tuple[Callable[[frozenset[str]], str], ...] = (min, max)
    for choose in chosen:
        try:
            form.holds("".join(choose(allowed) for allowed in form.positions))
        except (ValueError, KeyError, IndexError):
            return False
    return True
