"""A model set that is evaluated: where its repository is, and what serves it meanwhile.

Invariant: a repository is read by the engine that it was built for. One that this process cannot serve is read through
a running server, and only if that server serves the very models of the repository.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from worker.domain.errors import JobError, ServerMismatchError
from worker.domain.manifest import ModelManifest, ModelRole
from worker.domain.model_set import DEFAULT_SET, served_name
from worker.lab.acceptance.errors import AcceptanceError
from worker.lab.evaluation.served import manifests_of
from worker.models.configs import read_manifest
from worker.models.registry.documents import short
from worker.models.stamp import read_stamp
from worker.ports import InferenceBackend
from worker.runtime.model_client import ModelClient


class Engine(StrEnum):
    """What serves a model set while it is evaluated."""

    EMBEDDED = "the embedded Triton"
    IN_PROCESS = "ONNX Runtime in this process"
    SERVER = "a running Triton"


_ENGINES: Final[Mapping[str, Engine]] = {"embedded": Engine.EMBEDDED, "onnx": Engine.IN_PROCESS}


@dataclass(frozen=True, slots=True)
class AcceptanceCandidate:
    """A model set under the letter that reports call it by; `url` is the server's that serves it, empty if none is.

    `model_set` is the name of the set, empty where its models have the plain names. `version` is its id in a registry;
    the folder of such a set may be a temporary copy.
    """

    letter: str
    repository: Path
    engine: Engine
    url: str = ""
    model_set: str = DEFAULT_SET
    version: str | None = None

    @property
    def title(self) -> str:
        """What reports call it beside its letter."""
        return _title(self.repository, self.version)

    @property
    def read_by(self) -> str:
        """What serves it, in words."""
        return f"{self.engine} at {self.url}" if self.url else self.engine.value


def locate(name: str) -> Path:
    """Return the built repository that a name means: that of a folder.

    Raises AcceptanceError if there is no such folder, or if no build wrote it.
    """
    repository = Path(name)
    if not repository.is_dir():
        raise AcceptanceError(f"{name} is not a folder: give a model repository that `labelwire models build` wrote")
    if read_stamp(repository) is None:
        raise AcceptanceError(
            f"{name} is no model repository that `labelwire models build` wrote: give one, or build it there"
        )
    return repository


def choose_engine(letter: str, repository: Path, url: str | None, version: str | None = None) -> AcceptanceCandidate:
    """Return a model set with what serves it: the server at `url` if there is one, else what its profile is for.

    Raises AcceptanceError for a profile that only a server can serve, where no `url` is given.
    """
    stamp = read_stamp(repository)
    profile, model_set = ("", DEFAULT_SET) if stamp is None else (stamp.profile, stamp.model_set or DEFAULT_SET)
    if url is not None:
        return AcceptanceCandidate(letter, repository, Engine.SERVER, url, model_set, version)
    if profile not in _ENGINES:
        raise AcceptanceError(
            f"{letter}, {_title(repository, version)}, has the profile {profile}, which is not served here: let a "
            "Triton serve it and give its address with --url, A's first and then B's"
        )
    return AcceptanceCandidate(letter, repository, _ENGINES[profile], model_set=model_set, version=version)


def _title(repository: Path, version: str | None) -> str:
    return str(repository) if version is None else f"version {short(version)}"


async def served_manifests(
    candidate: AcceptanceCandidate, backend: InferenceBackend, client: ModelClient
) -> dict[ModelRole, ModelManifest]:
    """Return what the models that read say of themselves, when `client` can read with them.

    Raises AcceptanceError if nobody answers, if what is served cannot read, or if a running server serves other models
    than the repository's; ConfigError if the repository lacks one of them.
    """
    named = f"{candidate.letter}, {candidate.title},"
    try:
        manifests = await manifests_of(backend, candidate.model_set)
        await client.refresh()
    except (ServerMismatchError, JobError) as error:
        raise AcceptanceError(f"{named} cannot be read by {candidate.read_by}: {error}") from error
    for role, served in manifests.items():
        built = read_manifest(candidate.repository, served_name(role, candidate.model_set))
        if served != built:
            raise AcceptanceError(
                f"{candidate.read_by} serves version {served.version} of {role}, and {named} holds version "
                f"{built.version}: let it serve this repository"
            )
    return manifests
