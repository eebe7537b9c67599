"""The documents of a registry.

Invariants: each document holds the digest of its own bytes, so that a changed one is noticed. A version's id is the
digest of everything that it serves and says of its models: the same content has the same id, whenever and by whichever
release of Labelwire it was built. A path in a document names a file of one of its models, and nothing else.
"""

import hashlib
import json
import uuid
from typing import Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from worker.domain.manifest import ModelManifest
from worker.models.registry.errors import DamagedError
from worker.models.stamp import BuildStamp

RELEASE_SCHEMA: Final = "labelwire.release/1"
PROMOTION_SCHEMA: Final = "labelwire.promotion/1"
EVALUATION_SCHEMA: Final = "labelwire.evaluation/1"
CONFIG_FILE: Final = "config.pbtxt"
MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
MAX_FILE_BYTES: Final = 2 * 1024**3  # in memory while it is published: an object is only created by one request
MAX_NAME_CHARACTERS: Final = 200
MAX_REASON_CHARACTERS: Final = 2000
_MAX_RELEASE_BYTES: Final = 64 * 1024**3
_MAX_FILES: Final = 10_000
_SHOWN_CHARACTERS: Final = 12
_HEX: Final = r"^[0-9a-f]{64}$"
_NO_DIGEST: Final = "0" * 64
# A model's name may end in the name of its set, behind a dot.
_MODEL: Final = r"[a-z][a-z0-9_]{0,99}(?:\.[a-z0-9][a-z0-9-]{0,31})?"
_PATH: Final = rf"^{_MODEL}/(config\.pbtxt|[1-9][0-9]{{0,9}}/[A-Za-z0-9_][A-Za-z0-9._-]{{0,99}})$"
# When and by which release the same content was built, which is no part of it.
_PROVENANCE: Final = frozenset({"digest", "built_at", "labelwire"})


def short(version: str) -> str:
    """Return the beginning of an id, as people write it."""
    return version[:_SHOWN_CHARACTERS]


def _digest(document: dict[str, Any]) -> str:
    canonical = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class Document(BaseModel):
    """A document that is stored with the digest of its own bytes, in which zeros stand in the place of the digest."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def document(self) -> dict[str, Any]:
        """Return what stands in the document, without its digest."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_bytes(self) -> bytes:
        """Return the document as it is stored."""
        unsealed = self.document() | {"sha256": _NO_DIGEST}
        stored = (json.dumps(unsealed, ensure_ascii=False, indent=2) + "\n").encode()
        before, _, after = stored.rpartition(_NO_DIGEST.encode())
        return before + hashlib.sha256(stored).hexdigest().encode() + after

    @classmethod
    def of_bytes(cls, stored: bytes, name: str) -> Self:
        """Return a stored document. Raises DamagedError if it was changed, or is of a schema that is not known here."""
        try:
            content = json.loads(stored)
        except (ValueError, RecursionError):  # no UTF-8, no JSON, or nested without end
            content = None
        if not isinstance(content, dict):
            raise DamagedError(f"{name} is damaged: it is no JSON object")
        digest = str(content.pop("sha256", None)).encode()
        before, _, after = stored.rpartition(digest)
        if hashlib.sha256(before + _NO_DIGEST.encode() + after).hexdigest().encode() != digest:
            raise DamagedError(f"{name} is damaged: its content does not have the SHA-256 that it names")
        try:
            return cls.model_validate_json(json.dumps(content))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            part = ".".join(map(str, first["loc"])) or "the whole"
            raise DamagedError(
                f"{name} is not understood ({part}: {first['msg']}): use the release of Labelwire that wrote it"
            ) from None


class ReleaseFile(BaseModel):
    """One file of a version; its path is relative to the model repository."""

    path: str = Field(pattern=_PATH)
    size_bytes: int = Field(ge=0, le=MAX_FILE_BYTES)
    sha256: str = Field(pattern=_HEX)

    model_config = ConfigDict(extra="forbid", frozen=True)


class Release(Document):
    """What a version is: how it was built, the manifest of each of its models by name, and its files.

    The stamp's own file is not among the files: it is written anew from `build` when the version is fetched.
    """

    schema_: Literal["labelwire.release/1"] = Field(default=RELEASE_SCHEMA, alias="schema")
    build: BuildStamp
    models: dict[str, ModelManifest] = Field(min_length=1)
    files: tuple[ReleaseFile, ...] = Field(min_length=1, max_length=_MAX_FILES)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        paths = [file.path for file in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("a path stands there twice")
        if self.size_bytes > _MAX_RELEASE_BYTES:
            raise ValueError(f"its files have more than {_MAX_RELEASE_BYTES} bytes together")
        if {path.partition("/")[0] for path in paths} != set(self.models):
            raise ValueError("its files are not those of its models")
        unnumbered = [name for name, manifest in self.models.items() if manifest.version is None]
        if unnumbered:
            raise ValueError(f"the manifest of {unnumbered[0]} names no version")
        for path in paths:
            name, _, rest = path.partition("/")
            if rest != CONFIG_FILE and rest.partition("/")[0] != self.models[name].version:
                raise ValueError(f"{path} does not belong to the version of {name}")
        return self

    @property
    def version(self) -> str:
        """The id: the hex SHA-256 of the content."""
        content = self.document()
        content["build"] = {name: value for name, value in content["build"].items() if name not in _PROVENANCE}
        return _digest(content)

    @property
    def size_bytes(self) -> int:
        """The bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions that its models compute in, each once."""
        return tuple(sorted({manifest.precision for manifest in self.models.values()}))


class Promotion(Document):
    """One record of which version came into use.

    `previous` is the version that was in use before, `evaluation` the number of the verdict that it passed against that
    one; None where there was none. `token` is random, so that no two writers write the same record.
    """

    schema_: Literal["labelwire.promotion/1"] = Field(default=PROMOTION_SCHEMA, alias="schema")
    number: int = Field(ge=1)
    action: Literal["promote", "rollback"]
    version: str = Field(pattern=_HEX)
    previous: str | None = Field(default=None, pattern=_HEX)
    evaluation: int | None = None
    at: AwareDatetime
    by: str = Field(max_length=MAX_NAME_CHARACTERS)
    reason: str = Field(default="", max_length=MAX_REASON_CHARACTERS)
    token: str = Field(default_factory=lambda: uuid.uuid4().hex)


class EvaluationRecord(Document):
    """A verdict on a version: how it reads a dataset of pictures, compared with another version.

    `compared_with` is None where nothing was in use. `reasons` are sentences, `scores` numbers by name.
    """

    schema_: Literal["labelwire.evaluation/1"] = Field(default=EVALUATION_SCHEMA, alias="schema")
    version: str = Field(pattern=_HEX)
    compared_with: str | None = Field(default=None, pattern=_HEX)
    verdict: Literal["passed", "failed"]
    reasons: tuple[str, ...] = ()
    scores: dict[str, FiniteFloat] = {}
    dataset: str = Field(max_length=1000)
    pictures: int = Field(ge=1)
    at: AwareDatetime
    by: str = Field(max_length=MAX_NAME_CHARACTERS)
