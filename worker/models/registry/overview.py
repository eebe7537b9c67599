"""What a registry holds, as `list`, `show` and `verify` tell it."""

from dataclasses import dataclass
from typing import Any

from worker.adapters.blob.object_folder import ObjectFolder
from worker.models.registry.documents import EvaluationRecord, Release
from worker.models.registry.errors import DamagedError
from worker.models.registry.evaluations import evaluation_problems, evaluations, last_evaluation
from worker.models.registry.promotion import promotions, version_in_use
from worker.models.registry.versions import Progress, Versions


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version: its document and its last verdict, or the sentence that says why one of them cannot be used."""

    version: str
    in_use: bool
    release: Release | None
    evaluation: EvaluationRecord | None
    problem: str | None

    def document(self) -> dict[str, Any]:
        """Return the row for scripts."""
        release, evaluation = self.release, self.evaluation
        return {
            "version": self.version,
            "in_use": self.in_use,
            "built_at": None if release is None else release.document()["build"]["built_at"],
            "labelwire": None if release is None else release.build.labelwire,
            "profile": None if release is None else release.build.profile,
            "alphabet": None if release is None else release.build.alphabet,
            "device": None if release is None else release.build.device,
            "precisions": None if release is None else list(release.precisions),
            "size_bytes": None if release is None else release.size_bytes,
            "verdict": None if evaluation is None else evaluation.verdict,
            "compared_with": None if evaluation is None else evaluation.compared_with,
            "problem": self.problem,
        }


def version_rows(registry: ObjectFolder) -> list[VersionRow]:
    """Return all versions, the one that was built last first, damaged ones at the end. Raises DamagedError.

    It is raised if the records of promotions are damaged, for then nobody knows what is in use.
    """
    current = version_in_use(registry)
    rows = []
    for listed in Versions(registry).listed():
        problem, evaluation = listed.problem, None
        try:
            evaluation = last_evaluation(registry, listed.version)
        except DamagedError as error:
            problem = problem or str(error)
        in_use = current is not None and current.version == listed.version
        rows.append(VersionRow(listed.version, in_use, listed.release, evaluation, problem))
    return sorted(rows, key=_built, reverse=True)


def _built(row: VersionRow) -> float:
    return 0.0 if row.release is None else row.release.build.built_at.timestamp()


def version_document(registry: ObjectFolder, version: str) -> dict[str, Any]:
    """Return everything about a version: its document, its verdicts and when it came into use, the last first."""
    current = version_in_use(registry)
    return {
        "version": version,
        "in_use": current is not None and current.version == version,
        "release": Versions(registry).release(version).document(),
        "evaluations": [evaluation.document() for evaluation in evaluations(registry, version)],
        "promotions": [
            record.document() for _, record in promotions(registry).newest_first() if record.version == version
        ],
    }


def version_problems(registry: ObjectFolder, version: str, progress: Progress) -> list[str]:
    """Read a version and its verdicts as a whole; return a sentence for each problem."""
    return [*Versions(registry).problems(version, progress), *evaluation_problems(registry, version)]


def promotion_problems(registry: ObjectFolder) -> list[str]:
    """Return a sentence for each record of promotions that is damaged."""
    return list(promotions(registry).problems())
