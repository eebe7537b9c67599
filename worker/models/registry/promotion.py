"""Which version is in use, and how that changes.

Invariants: the last record of promotions names the version in use; a change is one more record, under the number after
the one that it was decided on, so that of several changes at once one is made and the others are refused. No version
comes into use that was not read as a whole before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from worker.adapters.blob.object_folder import ObjectFolder
from worker.models.registry.documents import MAX_NAME_CHARACTERS, MAX_REASON_CHARACTERS, Promotion, short
from worker.models.registry.errors import PromotionError
from worker.models.registry.evaluations import last_evaluation_against
from worker.models.registry.record_log import RecordLog
from worker.models.registry.versions import Progress, Versions


@dataclass(frozen=True, slots=True)
class Signature:
    """Who changes which version is in use, when, and why."""

    by: str
    at: datetime
    reason: str = ""


def promotions(registry: ObjectFolder) -> RecordLog[Promotion]:
    """Return the records of what was in use."""
    return RecordLog(registry, "promotions", Promotion)


def version_in_use(registry: ObjectFolder) -> Promotion | None:
    """Return the last record, which names the version in use; None if nothing was ever promoted."""
    for _, promotion in promotions(registry).newest_first():
        return promotion
    return None


def promote(
    registry: ObjectFolder, version: str, signature: Signature, progress: Progress, *, unevaluated: bool = False
) -> Promotion:
    """Let a version come into use, and return the record that says so; if it is in use already, the one that does.

    Raises PromotionError if its last verdict against the version in use is `failed`, if there is none and `unevaluated`
    does not allow that, or if another change was made meanwhile; DamagedError if a file is not what was published.
    """
    signed = _signed(signature)
    current = version_in_use(registry)
    if current is not None and current.version == version:
        return current
    in_use = None if current is None else current.version
    found = last_evaluation_against(registry, version, in_use)
    against = "with nothing in use" if in_use is None else f"against {short(in_use)}, which is in use"
    if found is not None and found[1].verdict == "failed":
        why = "; ".join(reason.rstrip(".") for reason in found[1].reasons) or "no reason was recorded"
        raise PromotionError(
            f"version {short(version)} failed its gate {against} ({why}): evaluate it again or keep that"
        )
    if found is None and in_use is not None and not unevaluated:
        raise PromotionError(
            f"version {short(version)} was never evaluated {against}: run `labelwire models evaluate`, or give "
            "--unevaluated"
        )
    Versions(registry).check(version, progress)
    return _change(
        registry,
        Promotion(
            number=1 if current is None else current.number + 1,
            action="promote",
            version=version,
            previous=in_use,
            evaluation=None if found is None else found[0],
            **signed,
        ),
    )


def rollback(registry: ObjectFolder, signature: Signature, progress: Progress, *, to: str | None = None) -> Promotion:
    """Let the version come into use again that the one in use replaced, or another one that was in use before.

    A version that was rolled back is not returned to by itself: after a second rollback in a row, the version before
    the one before is in use. Raises PromotionError if there is none, or another change was made meanwhile; DamagedError
    if a file of the version is not what was published.
    """
    signed = _signed(signature)
    records = list(reversed(list(promotions(registry).newest_first())))
    if not records:
        raise PromotionError(f"no version is in use in {registry}: there is nothing to roll back")
    current = records[-1][1]
    before = [record.version for _, record in records if record.version != current.version]
    if to is None:
        target = next(iter(_replaced(record for _, record in records)), None)
        if target is None:
            raise PromotionError(
                f"no version was in use in {registry} before {short(current.version)}: there is nothing to roll back "
                "to, but --to names a version that was rolled back"
            )
    elif to == current.version:
        raise PromotionError(f"version {short(to)} is in use already: give another one with --to")
    elif to not in before:
        raise PromotionError(f"version {short(to)} was never in use in {registry}: use `labelwire models promote`")
    else:
        target = to
    Versions(registry).check(target, progress)
    return _change(
        registry,
        Promotion(
            number=current.number + 1,
            action="rollback",
            version=target,
            previous=current.version,
            **signed,
        ),
    )


def _replaced(records: Iterator[Promotion]) -> list[str]:
    """Return what was replaced, one version after the other, the nearest first, without what was rolled back."""
    stack: list[str] = []
    for record in records:
        if record.action == "rollback" and record.version in stack:
            while stack.pop() != record.version:
                pass
        stack.append(record.version)
    return [version for version in reversed(stack) if version != stack[-1]]


def _signed(signature: Signature) -> dict[str, object]:
    for what, text, limit in (
        ("name", signature.by, MAX_NAME_CHARACTERS),
        ("reason", signature.reason, MAX_REASON_CHARACTERS),
    ):
        if len(text) > limit or text.encode(errors="replace").decode() != text:
            raise PromotionError(
                f"the {what} of {len(text)} characters cannot be recorded: give at most {limit}, all of them Unicode"
            )
    return {"by": signature.by, "at": signature.at, "reason": signature.reason}


def _change(registry: ObjectFolder, promotion: Promotion) -> Promotion:
    if not promotions(registry).take(promotion.number, promotion):
        raise PromotionError(
            f"version {short(promotion.version)} was not put into use, because {registry} was changed at the same "
            "time: look at it with `labelwire models list`, and try again"
        )
    return promotion
