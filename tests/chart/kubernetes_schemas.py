"""The schemas of Kubernetes, read once for each version and kind, because reading them takes longest."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from kubernetes_validate import utils
from referencing import Registry, Resource

NEWEST_KUBERNETES: str = utils.latest_version()


class KubernetesSchemaError(AssertionError):
    """A cluster of this version would refuse an object, or drop a field of it."""


def check_kubernetes(manifest: dict[str, Any], version: str) -> None:
    """Compare an object with the strict schema of a version. Raises KubernetesSchemaError."""
    try:
        _validator(version, manifest["kind"], manifest["apiVersion"]).validate(manifest)
    except ValidationError as error:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        raise KubernetesSchemaError(f"{name}: {error.json_path}: {error.message}") from error


@cache
def _validator(version: str, kind: str, api_version: str) -> Draft202012Validator:
    group, slash, number = api_version.partition("/")
    file = f"{kind.lower()}-{group.partition('.')[0]}{'-' if slash else ''}{number}.json"
    folder = f"kubernetes-json-schema/v{_stored(version)}-local-strict"
    definitions = Resource.from_contents(utils.schema_contents(f"{folder}/_definitions.json", version))
    schema = utils.schema_contents(f"{folder}/{file}", version)
    return Draft202012Validator(schema, registry=definitions @ Registry())


def _stored(version: str) -> str:
    """Return the schemas' version for a version of a cluster: the newest that is not newer."""
    wanted = utils.major_minor(version)
    found: str = [stored for stored in utils.all_versions() if utils.major_minor(stored) <= wanted][-1]
    return found
