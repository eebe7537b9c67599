"""Building a Triton model repository: sources in, one complete folder out.

Invariant: a repository is there whole or not at all. It is written beside its place and moved there at the end, and
it names the digest of everything that went into it, so that the same build is not done twice.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from worker import __version__
from worker.domain.errors import LabelwireError
from worker.domain.manifest import ModelRole
from worker.domain.model_set import DEFAULT_SET, check_set_name
from worker.models.alphabet import FULL, LATIN, alphabet_name
from worker.models.assembly import Assembly
from worker.models.files import locked, replaced_whole
from worker.models.model_card import LineFormat
from worker.models.plans import PlanMaker, host_plan_maker
from worker.models.precision.choice import Precisions, floating_precision, resolve_precision
from worker.models.precision.recipe import PAIR, PrecisionRecipe, find_recipes
from worker.models.profiles import DEFAULT_ALTERNATIVES, Profile, select_profile
from worker.models.source import ModelSource, file_digest, find_sources
from worker.models.stamp import BuildStamp, BuiltPlans, holds_something_else, read_stamp
from worker.models.templates import templates_directory
from worker.models.tuning import ServingSettings, check_cores, tuned

Progress = Callable[[str, float], None]
"""Called with what is being done and the part that is done, 0 to 1."""


class BuildError(LabelwireError):
    """A repository cannot be built as asked."""


@dataclass(frozen=True, slots=True)
class _Order:
    profile: Profile
    alphabet: str
    alternatives: int
    sources: Mapping[ModelRole, ModelSource]
    precisions: Precisions
    plans: PlanMaker | None
    model_set: str = DEFAULT_SET


def build_repository(
    profile: str | Profile,
    output: Path,
    *,
    alphabet: str = FULL,
    alternatives: int = DEFAULT_ALTERNATIVES,
    sources: Mapping[ModelRole, Path] | None = None,
    plans: PlanMaker | None = None,
    recipe: PrecisionRecipe | None = None,
    model_set: str = DEFAULT_SET,
    tuning: ServingSettings | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a complete Triton repository to the folder `output`, which it replaces as a whole, and return it.

    `profile` is `embedded`, `onnx` or `tensorrt`; `alphabet` is `full`, `latin` or a file of characters; `alternatives`
    is how many classes the recognizer returns for each step; `sources` are what to take instead of the pinned models:
    folders that an import wrote, or ONNX files; `plans` makes the plans of the tensorrt profile, by the TensorRT and
    the GPU of this host if none is given. `recipe` is taken whether it passed the gate or not, for the gate itself;
    without it, a lower precision takes a recipe that passed. `model_set` is the name of the set: with it the models
    have names of their own, so that one Triton can serve them beside others. `tuning` is how they are served instead of
    as the profile says. A repository of the same inputs that is there already is left as it is.

    Raises ModelSetError, ModelSourceError, AlphabetError, ProfileError, GraphError, RecipeError, ConfigError,
    PlanError, TuningError or BuildError.
    """
    report = progress or (lambda _what, _part: None)
    chosen = select_profile(profile) if isinstance(profile, str) else profile
    if not 1 <= alternatives <= 16:  # noqa: PLR2004  more would be no alternatives but noise
        raise BuildError(f"{alternatives} alternatives cannot be given: ask for 1 to 16")
    check_set_name(model_set)
    if tuning is not None:
        check_cores(chosen, tuning)
    if chosen.name != "tensorrt":
        plans = None
    elif plans is None:
        plans = host_plan_maker()  # before anything is fetched: without a GPU there is nothing to do
    report("fetching the ONNX files", 0.0)
    found = find_sources(sources)
    chosen = chosen.of_lines(found[ModelRole.RECOGNIZER].card.line or LineFormat())
    if tuning is not None:
        chosen = tuned(chosen, tuning)
    order = _Order(chosen, alphabet, alternatives, found, _precisions(chosen, found, recipe), plans, model_set)
    digest = _digest(order)
    output = output.absolute()
    with locked(output):
        stamp = read_stamp(output)
        if stamp is None or stamp.digest != digest:
            _write_and_swap(order, digest, output, report)
    report("done", 1.0)
    return output


def _precisions(
    profile: Profile, sources: Mapping[ModelRole, ModelSource], recipe: PrecisionRecipe | None
) -> Precisions:
    if recipe is not None:
        return Precisions(recipe, floating_precision(profile))
    pair = {role: sources[role] for role in PAIR}
    digests = {role: source.judged_sha256 for role, source in pair.items()}
    folders = [source.path.parent for source in pair.values()]
    return resolve_precision(profile, find_recipes(profile.engine, digests, folders))


def _digest(order: _Order) -> str:
    """Digest all that decides what a repository holds: options, sources, configurations and this code."""
    alphabet = order.alphabet
    if alphabet not in {FULL, LATIN} and Path(alphabet).is_file():
        alphabet = Path(alphabet).read_text(encoding="utf-8")
    target = order.plans.target.model_dump() if order.plans is not None else None
    precisions = [
        order.precisions.floating,
        *(recipe.to_json() for recipe in (order.precisions.recipe, *order.precisions.others) if recipe is not None),
    ]
    state = hashlib.sha256(
        json.dumps([asdict(order.profile), precisions, alphabet, order.alternatives, target, order.model_set]).encode()
        + "".join(f"{role}{source.card.to_json()}" for role, source in sorted(order.sources.items())).encode()
    )
    files = [
        *Path(__file__).parent.rglob("*.py"),
        *templates_directory().rglob("*.pb*"),
        *templates_directory().rglob("*.py"),
    ]
    for file in sorted(files):
        state.update(file.name.encode() + file.read_bytes())
    return state.hexdigest()


def _write_and_swap(order: _Order, digest: str, output: Path, report: Progress) -> None:
    if holds_something_else(output):
        raise BuildError(f"{output} holds something that is no built repository: give another folder or remove it")
    with replaced_whole(output) as new:
        assembly = Assembly(
            order.profile,
            order.alphabet,
            order.alternatives,
            order.sources,
            order.precisions,
            new,
            order.plans,
            order.model_set,
        )
        assembly.write(report)
        plans = None if order.plans is None else BuiltPlans(target=order.plans.target, files=_plan_digests(new))
        BuildStamp(
            digest=digest,
            profile=order.profile.name,
            alphabet=alphabet_name(order.alphabet),
            device=order.profile.device,
            model_set=order.model_set or None,
            built_at=datetime.now(UTC).replace(microsecond=0),
            labelwire=__version__,
            plans=plans,
            tuning_sha256=order.profile.tuning_sha256,
        ).write(new)


def _plan_digests(repository: Path) -> dict[str, str]:
    """Return the hex SHA-256 of each plan by its path in the repository."""
    return {str(path.relative_to(repository)): file_digest(path) for path in sorted(repository.glob("*/*/*.plan"))}
