"""`labelwire models publish | list | show | verify | promote | rollback | fetch`: the registry of models.

All but `publish` need no more than a worker's own packages.
"""

import getpass
import json
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from worker import settings
from worker.adapters.blob.object_folder import ObjectFolder
from worker.adapters.blob.store import trusted_certificates
from worker.cli import missing_package
from worker.domain.errors import LabelwireError
from worker.models.registry import promotion
from worker.models.registry.documents import Promotion, short
from worker.models.registry.errors import RegistryError
from worker.models.registry.overview import (
    VersionRow,
    promotion_problems,
    version_document,
    version_problems,
    version_rows,
)
from worker.models.registry.versions import Versions
from worker.reporting.formats import DASH, moment, printable, size
from worker.reporting.progress import reaching

app = typer.Typer(
    help="Keep the versions of model repositories; building them needs a checkout.",
    no_args_is_help=True,
    add_completion=False,
)
_COLUMNS: Final = ("version", "built", "profile", "alphabet", "precision", "evaluation", "in use")
RegistryAddress = Annotated[
    str, typer.Option(help="Folder of the registry: a path, or s3://, gs:// or az://BUCKET/FOLDER.", show_default=False)
]
_Version = Annotated[str, typer.Argument(metavar="VERSION", help="The id of a version, or how it begins.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
_By = Annotated[str | None, typer.Option(help="Who does this.", show_default="user@host")]
_Reason = Annotated[str, typer.Option(help="Why, for those who read the records later.", show_default=False)]


@app.command()
def publish(
    repository: Annotated[Path, typer.Argument(metavar="REPOSITORY", help="Folder that `models build` wrote.")],
    *,
    registry: RegistryAddress,
) -> None:
    """Publish a built repository as a version, and print the version's id."""
    try:
        from worker.models.registry.built import read_build  # noqa: PLC0415  needs onnx, which an installed worker lacks
    except ModuleNotFoundError as error:
        raise LabelwireError(missing_package(error.name or "")) from error
    release = read_build(repository)
    folder = open_registry(registry, create=True)
    if not Versions(folder).publish(release, repository, reaching):
        print(f"{folder} holds this version already.", file=sys.stderr)
    print(release.version)


@app.command("list")
def list_versions(*, registry: RegistryAddress, as_json: _AsJson = False) -> None:
    """List the versions, the one that was built last first."""
    rows = version_rows(open_registry(registry))
    if as_json:
        print(json.dumps([row.document() for row in rows], indent=2))
        return
    cells = [tuple(map(printable, _cells(row))) for row in rows]
    console = Console(highlight=False)
    if console.is_terminal:
        widths = [max(map(len, column)) for column in zip(_COLUMNS, *cells, strict=True)]
        for line, style in ((_COLUMNS, "dim"), *((row_cells, "") for row_cells in cells)):
            padded = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            console.print(Text(padded.rstrip(), style=style), soft_wrap=True)
    else:
        for row_cells in cells:
            print("\t".join(row_cells))
    for row in rows:
        if row.problem is not None:
            print(printable(row.problem), file=sys.stderr)


@app.command()
def show(version: _Version, *, registry: RegistryAddress, as_json: _AsJson = False) -> None:
    """Show everything about a version: how it was built, its models, files, verdicts, and when it came into use."""
    folder = open_registry(registry)
    document = version_document(folder, Versions(folder).find(version))
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for line in _lines(document):
        print(printable(line))


@app.command()
def verify(
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="The id of a version, or how it begins; all if not given.")
    ] = None,
    *,
    registry: RegistryAddress,
    as_json: _AsJson = False,
) -> None:
    """Read every file and compare it with what was published; exit code 1 if one is changed, missing or too many."""
    folder = open_registry(registry)
    found = Versions(folder)
    versions = [found.find(version)] if version else [listed.version for listed in found.listed()]
    records = promotion_problems(folder)
    checked = []
    for each in versions:
        problems = version_problems(folder, each, reaching)
        checked.append({"version": each, "problems": problems})
        if not as_json:
            _print_problems(f"version {short(each)}", problems)
    if as_json:
        print(json.dumps({"versions": checked, "promotions": {"problems": records}}, indent=2))
    else:
        _print_problems("the records of promotions", records)
    if records or any(document["problems"] for document in checked):
        raise typer.Exit(1)


@app.command()
def promote(
    version: _Version,
    *,
    registry: RegistryAddress,
    unevaluated: Annotated[
        bool, typer.Option("--unevaluated", help="Allow a version that was never evaluated against the one in use.")
    ] = False,
    by: _By = None,
    reason: _Reason = "",
    as_json: _AsJson = False,
) -> None:
    """Put a version into use, after every file of it was verified and if its last evaluation passed."""
    folder = open_registry(registry)
    chosen = Versions(folder).find(version)
    record = promotion.promote(folder, chosen, _signature(by, reason), reaching, unevaluated=unevaluated)
    _print_record(record, as_json=as_json)


@app.command()
def rollback(
    *,
    registry: RegistryAddress,
    to: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="A version that was in use before; if not given, the one replaced last."),
    ] = None,
    by: _By = None,
    reason: _Reason = "",
    as_json: _AsJson = False,
) -> None:
    """Put the version into use again that the one in use replaced, after every file of it was verified."""
    folder = open_registry(registry)
    chosen = None if to is None else Versions(folder).find(to)
    record = promotion.rollback(folder, _signature(by, reason), reaching, to=chosen)
    _print_record(record, as_json=as_json)


@app.command()
def fetch(
    version: Annotated[
        str | None,
        typer.Argument(metavar="VERSION", help="The id of a version, or how it begins; the one in use if not given."),
    ] = None,
    *,
    registry: RegistryAddress,
    output: Annotated[Path, typer.Option(help="Folder to write; a built repository in it is replaced as a whole.")],
) -> None:
    """Fetch a version, checked file by file, as a model repository for Triton, and print its folder."""
    folder = open_registry(registry)
    found = Versions(folder)
    if version is None:
        current = promotion.version_in_use(folder)
        if current is None:
            raise RegistryError(f"no version is in use in {folder}: promote one, or name the version to fetch")
        chosen = current.version
    else:
        chosen = found.find(version)
    release = found.release(chosen)
    found.fetch(release, output, reaching)
    print(f"This is version {chosen}.", file=sys.stderr)
    print(output)


def open_registry(registry: str, *, create: bool = False) -> ObjectFolder:
    """Open the registry at an address, with the certificates of the settings; `create` makes a missing folder."""
    certificates, _ = trusted_certificates(settings.load().blob.tls_root_certificates)
    return ObjectFolder.open(registry, root_certificates=certificates, create=create)


def signed_by(by: str | None) -> str:
    """Return who does something: a name that is given, else user and host."""
    return by or f"{_user()}@{socket.gethostname()}"


def _signature(by: str | None, reason: str) -> promotion.Signature:
    return promotion.Signature(signed_by(by), datetime.now(UTC).replace(microsecond=0), reason)


def _user() -> str:
    """Return the user's name, or the number of a user without one, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _cells(row: VersionRow) -> tuple[str, ...]:
    release, evaluation = row.release, row.evaluation
    if release is None:
        return short(row.version), *(DASH,) * 4, "damaged", "in use" if row.in_use else ""
    verdict = DASH
    if evaluation is not None:
        against = "nothing" if evaluation.compared_with is None else short(evaluation.compared_with)
        verdict = f"{evaluation.verdict} against {against}"
    return (
        short(row.version),
        moment(int(release.build.built_at.timestamp() * 1000)),
        release.build.profile,
        release.build.alphabet,
        " ".join(release.precisions),
        verdict,
        "in use" if row.in_use else "",
    )


def _lines(document: dict[str, Any]) -> list[str]:
    """Return what `show` prints: one fact a line, parts of a fact indented below it."""
    release = document["release"]
    lines = [f"version {document['version']}{', in use' if document['in_use'] else ''}"]
    lines += [f"  {name}: {value}" for name, value in release["build"].items() if name != "plans"]
    for name, manifest in release["models"].items():
        lines.append(f"model {name}")
        for key, value in manifest.items():
            if key == "graph_changes":
                lines += ["  graph_changes:", *(f"    - {change}" for change in value)]
            elif key not in {"schema", "buckets"}:
                lines.append(f"  {key}: {json.dumps(value) if isinstance(value, (dict, list)) else value}")
    lines.append(f"{len(release['files'])} files")
    lines += [f"  {size(file['size_bytes'])}  {file['sha256']}  {file['path']}" for file in release["files"]]
    for evaluation in document["evaluations"]:
        against = evaluation.get("compared_with")
        lines.append(
            f"{evaluation['verdict']} against {'nothing' if against is None else short(against)} on "
            f"{evaluation['pictures']} pictures of {evaluation['dataset']}, {evaluation['at']}, by {evaluation['by']}"
        )
        lines += [f"  {reason}" for reason in evaluation["reasons"]]
        lines += [f"  {name}: {score}" for name, score in evaluation["scores"].items()]
    for record in document["promotions"]:
        why = f": {record['reason']}" if record["reason"] else ""
        lines.append(f"{record['action']} {record['number']}, {record['at']}, by {record['by']}{why}")
    return lines


def _print_problems(what: str, problems: list[str]) -> None:
    for problem in problems:
        print(printable(problem), file=sys.stderr)
    print(f"{what}: {'intact' if not problems else 'damaged'}")


def _print_record(record: Promotion, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(record.document(), indent=2, ensure_ascii=False))
        return
    before = "" if record.previous is None else f"; {short(record.previous)} was in use before"
    print(f"version {short(record.version)} is in use{before} (record {record.number})")
