"""The one configuration that is measured: eval and bench start the worker and its competitors through here.

Invariant: what `describe` says is what `labelwire_system` starts; nothing else sets anything on the worker.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker import settings
from worker.domain.errors import SettingsError
from worker.lab.evaluation import answers
from worker.lab.evaluation.systems import System, Topics
from worker.pipeline.options import PipelineOptions
from worker.settings import PREFIX

RAPIDOCR = "rapidocr"
RAPIDOCR_OPENVINO = "rapidocr_openvino"
RAPIDOCR_VERSION = "3.10.0"
ZXING_VERSION = "3.1.1"

_RAPIDOCR_SCRIPT = Path(__file__).with_name("rapidocr_consumer.py")
_ENGINES = {RAPIDOCR: "onnxruntime", RAPIDOCR_OPENVINO: "openvino"}
_RAPIDOCR_TITLES = {RAPIDOCR: "RapidOCR", RAPIDOCR_OPENVINO: "RapidOCR on OpenVINO"}
_TUNABLE = ("pipeline", "limits", "runtime")


@dataclass(frozen=True, slots=True)
class WorkerConfiguration:
    """How the worker is set up: the model repository's profile and alphabet, and settings that differ from defaults.

    `overrides` are environment names of the worker's settings (`LABELWIRE_PIPELINE__…`) with their values.
    """

    profile: str = "embedded"
    alphabet: str = "full"
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The configuration's name in reports."""
        return "-".join([self.profile, self.alphabet, "tuned" if self.overrides else "default"])

    def describe(self) -> dict[str, Any]:
        """Return all that decides how pictures are read. Raises SettingsError for an override that cannot be."""
        chosen = settings.load(self.overrides)
        return {
            "name": self.name,
            "profile": self.profile,
            "alphabet": self.alphabet,
            "overrides": dict(self.overrides),
            "settings": {name: getattr(chosen, name).model_dump() for name in _TUNABLE},
        }

    def pipeline_options(self) -> PipelineOptions:
        """Return the pipeline's options, as the worker will have them."""
        return PipelineOptions(**settings.load(self.overrides).pipeline.model_dump())


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What a system finds: the broker, the Triton server it shall use and that server's process.

    `free_port` is a local port on which the system may answer probes.
    """

    bootstrap_servers: str
    triton_url: str
    triton_pid: int
    free_port: int


def labelwire_system(
    name: str, title: str, configuration: WorkerConfiguration, around: Endpoints, topics: Topics | None = None
) -> System:
    """Return the worker in a configuration, on topics of its own unless some are given."""
    topics = topics or Topics.named(name)
    inherited = {key: value for key, value in os.environ.items() if not key.upper().startswith(PREFIX)}
    addresses = {
        "KAFKA__BOOTSTRAP_SERVERS": around.bootstrap_servers,
        "KAFKA__GROUP_ID": name,
        "TOPICS__JOBS": topics.jobs,
        "TOPICS__RESULTS": topics.results,
        "TOPICS__DEAD_LETTERS": topics.dead_letters or "",
        "TRITON__URL": around.triton_url,
        "HTTP__HOST": "127.0.0.1",
        "HTTP__PORT": str(around.free_port),
    }
    return System(
        name=name,
        title=title,
        argv=[sys.executable, "-m", "worker", "run"],
        environment={
            **inherited,
            **{PREFIX + key: value for key, value in addresses.items()},
            **configuration.overrides,
        },
        topics=topics,
        read_answer=answers.of_worker,
        server_pids=(around.triton_pid,),
        ready_port=around.free_port,
    )


def rapidocr_system(name: str, python: Path, bootstrap_servers: str, *, barcodes: bool = False) -> System:
    """Return RapidOCR behind its plain consumer; `name` says with which engine, `python` is its environment's.

    With `barcodes`, zxing-cpp reads each picture as well.
    """
    topics = Topics(f"{name}-images", f"{name}-text")
    argv = [str(python), str(_RAPIDOCR_SCRIPT), "--engine", _ENGINES[name], "--bootstrap-servers", bootstrap_servers]
    return System(
        name=name,
        title=_RAPIDOCR_TITLES[name] + (" and zxing-cpp" if barcodes else ""),
        argv=[
            *argv,
            *("--group", name, "--jobs", topics.jobs, "--results", topics.results),
            *(["--barcodes"] if barcodes else []),
        ],
        environment=dict(os.environ),
        topics=topics,
        read_answer=answers.of_rapidocr,
        process_name="consumer",
    )


def parse_overrides(assignments: Sequence[str]) -> dict[str, str]:
    """Return `NAME=VALUE` texts as a mapping.

    Raises SettingsError for one that is not of a tunable section, is no setting, or has a value that the worker would
    refuse: what is measured for minutes must not end so.
    """
    overrides = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        section = name.removeprefix(PREFIX).partition("__")[0].lower()
        if not separator or not name.startswith(PREFIX) or section not in _TUNABLE:
            allowed = ", ".join(f"{PREFIX}{known.upper()}__*" for known in _TUNABLE)
            raise SettingsError(f"{assignment!r} cannot be measured with; give NAME=VALUE with a name of {allowed}.")
        overrides[name] = value
    settings.load(overrides)
    return overrides
