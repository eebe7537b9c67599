"""How versions were judged: the records that decide whether a version may come into use.

Invariant: verdicts are only added. The last one against the version in use counts.
"""

from worker.adapters.blob.object_folder import ObjectFolder
from worker.models.registry.documents import EvaluationRecord
from worker.models.registry.errors import RegistryError
from worker.models.registry.record_log import RecordLog
from worker.models.registry.versions import Versions

_MAX_TRIES = 100


def record_evaluation(registry: ObjectFolder, evaluation: EvaluationRecord) -> int:
    """Add a verdict, and return its number among those of its version.

    Raises UnknownVersionError if the registry holds no such version, ObjectFolderError if it cannot be written.
    """
    Versions(registry).release(evaluation.version)
    log = _log(registry, evaluation.version)
    for _ in range(_MAX_TRIES):
        # Counted anew each time: who was in the way may have failed, and no number may be left out.
        number = max(log.numbers(), default=0) + 1
        if log.take(number, evaluation):
            return number
    raise RegistryError(f"{_MAX_TRIES} others judged {evaluation.version[:12]} in {registry} meanwhile: try again")


def last_evaluation(registry: ObjectFolder, version: str) -> EvaluationRecord | None:
    """Return the last verdict on a version, against whichever other one; None if there is none."""
    for _, evaluation in _log(registry, version).newest_first():
        return evaluation
    return None


def last_evaluation_against(
    registry: ObjectFolder, version: str, compared_with: str | None
) -> tuple[int, EvaluationRecord] | None:
    """Return the last verdict on a version against another one, with its number; None if there is none."""
    for number, evaluation in _log(registry, version).newest_first():
        if evaluation.compared_with == compared_with:
            return number, evaluation
    return None


def evaluations(registry: ObjectFolder, version: str) -> list[EvaluationRecord]:
    """Return all verdicts on a version, the last one first. Raises DamagedError."""
    return [evaluation for _, evaluation in _log(registry, version).newest_first()]


def evaluation_problems(registry: ObjectFolder, version: str) -> list[str]:
    """Return a sentence for each verdict on a version that is damaged."""
    return list(_log(registry, version).problems())


def _log(registry: ObjectFolder, version: str) -> RecordLog[EvaluationRecord]:
    return RecordLog(registry, f"evaluations/{version}", EvaluationRecord)
