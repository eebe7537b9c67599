"""What a build wrote, read for publishing.

Invariant: a repository is described only if each model's configuration, dictionary and files are those that its
manifest was made for, and if it holds nothing else.
"""

import json
import os
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from worker.domain.manifest import ModelManifest, dictionary_digest
from worker.models.choice import STAMP_FILE
from worker.models.configs import ConfigError, ModelConfig, content_digest, read_config
from worker.models.registry.documents import CONFIG_FILE, MAX_FILE_BYTES, Release, ReleaseFile
from worker.models.registry.errors import RegistryError
from worker.models.source import file_digest
from worker.models.stamp import read_stamp

# What Python leaves where Triton ran a python backend.
_IGNORED: Final = "__pycache__"


def read_build(repository: Path) -> Release:
    """Return what a built repository is. Raises RegistryError if it is none, or was changed after it was built."""
    try:
        stamp = read_stamp(repository)
        if stamp is None:
            raise RegistryError(
                f"{repository} is no repository that this release of Labelwire built: build it with `labelwire models "
                "build`"
            )
        models = {path.name: _described(path) for path in sorted(repository.iterdir()) if path.is_dir()}
        if not models:
            raise RegistryError(f"{repository} holds no model: build it again")
        files = tuple(_file(repository, path) for path in _paths(repository) if path.name != STAMP_FILE)
        return Release(build=stamp, models=models, files=files)
    except OSError as error:
        raise RegistryError(f"{repository} cannot be read ({error.strerror}): build it again") from error
    except ValidationError as error:
        said = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise RegistryError(f"{repository} is not as it was built ({said}): build it again") from error


def _described(folder: Path) -> ModelManifest:
    """Return the manifest of the built model in a folder, which has been found to be true."""
    try:
        config = read_config(folder / CONFIG_FILE)
        manifest = ModelManifest.model_validate_json(config.parameters["manifest"].string_value)
        dictionary = json.loads(config.parameters["dictionary"].string_value or "null")
    except (ConfigError, ValueError) as error:
        raise _changed(folder, "its configuration holds no manifest that can be read") from error
    if dictionary is not None and dictionary_digest(dictionary) != manifest.dictionary_sha256:
        raise _changed(folder, "its dictionary is not the one that its manifest names")
    if config.name != folder.name:
        raise _changed(folder, f"its configuration is that of {config.name or 'no model'}")
    version = ", ".join(map(str, config.version_policy.specific.versions))
    files = folder / version
    if not version or not files.is_dir():
        raise _changed(folder, f"there is no folder of the version {version or '(none)'} that it serves")
    if not manifest.identifies(version) or content_digest(_as_digested(config), files) != manifest.content_sha256:
        raise _changed(folder, "its files and its configuration are not those that its manifest was made for")
    return manifest


def _as_digested(config: ModelConfig) -> ModelConfig:
    """Return a configuration as it was before the build added the manifest, which holds its digest."""
    bare = type(config)()
    bare.CopyFrom(config)
    for name in ("manifest", "dictionary"):
        bare.parameters.pop(name, None)
    bare.ClearField("version_policy")
    return bare


def _paths(repository: Path) -> list[Path]:
    """Return all files. Raises RegistryError for a link and for whatever is no file."""
    found: list[Path] = []
    for folder, folders, names in os.walk(repository):
        folders[:] = sorted(name for name in folders if name != _IGNORED)
        for path in (Path(folder) / name for name in (*folders, *names)):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise RegistryError(f"{path} is a link or no regular file, which no build writes: build it again")
            if path.is_file():
                found.append(path)
    return sorted(found)


def _file(repository: Path, path: Path) -> ReleaseFile:
    size_bytes = path.stat().st_size
    if size_bytes > MAX_FILE_BYTES:
        raise RegistryError(f"{path} has {size_bytes} bytes, over the {MAX_FILE_BYTES} that a registry takes")
    relative = path.relative_to(repository).as_posix()
    try:
        return ReleaseFile(path=relative, size_bytes=size_bytes, sha256=file_digest(path))
    except ValidationError as error:
        raise RegistryError(
            f"{path} is no file that a build writes: remove it or build the repository again"
        ) from error


def _changed(folder: Path, why: str) -> RegistryError:
    return RegistryError(f"the model in {folder} was changed after it was built ({why}): build the repository again")
