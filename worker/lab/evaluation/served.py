"""What the server that reads says of its models: a report names these, and not what somebody meant to start."""

from collections.abc import Mapping
from typing import Any

from worker.domain.errors import ServerMismatchError
from worker.domain.manifest import ModelManifest, ModelRole
from worker.domain.model_set import DEFAULT_SET, served_name
from worker.lab.evaluation.configuration import WorkerConfiguration
from worker.ports import InferenceBackend

_ROLES = (ModelRole.DETECTOR, ModelRole.ORIENTATION, ModelRole.RECOGNIZER)


async def manifests_of(backend: InferenceBackend, model_set: str = DEFAULT_SET) -> dict[ModelRole, ModelManifest]:
    """Ask a server for the manifests of the models of a set that read.

    Raises ServerMismatchError if a model or its manifest is absent, JobError INFERENCE_UNAVAILABLE if nobody answers.
    """
    return {role: await _manifest(backend, served_name(role, model_set)) for role in _ROLES}


def describe_served(
    configuration: WorkerConfiguration, manifests: Mapping[ModelRole, ModelManifest], way: str
) -> dict[str, Any]:
    """Return all that decides how pictures are read by a server that was there; a manifest knows no profile."""
    recognizer = manifests[ModelRole.RECOGNIZER]
    tuned = "tuned" if configuration.overrides else "default"
    return configuration.describe() | {
        "name": "-".join([recognizer.device, recognizer.precision, str(recognizer.alphabet), tuned]),
        "profile": None,
        "alphabet": recognizer.alphabet,
        "way": way,
        "manifests": {
            role.value: manifest.model_dump(mode="json", by_alias=True, exclude_none=True)
            for role, manifest in manifests.items()
        },
    }


async def _manifest(backend: InferenceBackend, name: str) -> ModelManifest:
    description = await backend.describe(name)
    text = None if description is None else description.parameters.get("manifest")
    if text is None:
        raise ServerMismatchError(f"The server has no model {name} with a manifest: let it serve a built repository.")
    return ModelManifest.model_validate_json(text)
