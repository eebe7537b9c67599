"""`labelwire canary …`: roll a model set out step by step, or let it read beside the models in use."""

import asyncio
import json
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from worker import bootstrap, settings
from worker.adapters.clock import SystemClock
from worker.domain.errors import RolloutError, ServerMismatchError
from worker.domain.model_set import DEFAULT_SET, DEFAULT_TITLE, check_set_name, set_title
from worker.domain.rollout.routing import ALL
from worker.domain.rollout.state import DEFAULT_STEPS, Mode, RolloutLimits
from worker.pipeline.models import load_models
from worker.rollouts.control import RolloutControl, RolloutOrder
from worker.rollouts.status import status_document, status_view
from worker.settings import Settings

app = typer.Typer(
    help="Roll a model set out step by step, with automatic rollback.", no_args_is_help=True, add_completion=False
)
_DEFAULTS = RolloutLimits()
_Reason = Annotated[str, typer.Option(help="Why, for those who look later.")]


@app.command()
def start(
    candidate: Annotated[
        str,
        typer.Argument(
            help="Model set to roll out, as `models build --model-set` named it; an empty name for the plain names."
        ),
    ],
    *,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Only read beside the models in use; publish nothing of it.")
    ] = False,
    steps: Annotated[
        str | None, typer.Option(help="Shares of the jobs in percent, ascending.", show_default="1,5,25,100")
    ] = None,
    min_jobs: Annotated[int, typer.Option(help="Jobs to judge before the next step.")] = _DEFAULTS.min_jobs,
    min_pairs: Annotated[int, typer.Option(help="Jobs to compare before the next step.")] = _DEFAULTS.min_pairs,
    max_error_rate: Annotated[
        float, typer.Option(help="Jobs that fail with the candidate alone, part of 1.")
    ] = _DEFAULTS.max_error_rate,
    max_blank_rate: Annotated[
        float, typer.Option(help="Pages that are blank for the candidate alone, part of 1.")
    ] = _DEFAULTS.max_blank_rate,
    max_text_disagreement: Annotated[
        float, typer.Option(help="Mean part of the characters that differ.")
    ] = _DEFAULTS.max_text_disagreement,
    max_field_disagreement: Annotated[
        float, typer.Option(help="Mean part of the fields that differ.")
    ] = _DEFAULTS.max_field_disagreement,
    max_p99_ratio: Annotated[
        float, typer.Option(help="99th percentile and median of the time of a reading, ratio to the models in use.")
    ] = _DEFAULTS.max_p99_ratio,
) -> None:
    """Let a model set read a share of the jobs; it is promoted if it is as good, and rolled back if it is worse."""
    candidate = DEFAULT_SET if candidate == DEFAULT_TITLE else check_set_name(candidate)
    mode = Mode.SHADOW if shadow else Mode.CANARY
    shares = _shares(steps) if steps is not None else ((ALL,) if shadow else DEFAULT_STEPS)
    if mode is Mode.CANARY and shares[0] == ALL:
        # Without a time of the models in use the candidate's times could never be judged, and the rollout never end.
        raise RolloutError(
            f"--steps {steps!r} leaves no job to the models in use, to compare times with: begin with less, as 50,100."
        )
    try:
        limits = RolloutLimits(
            min_jobs=min_jobs,
            min_pairs=min_pairs,
            max_error_rate=max_error_rate,
            max_blank_rate=max_blank_rate,
            max_text_disagreement=max_text_disagreement,
            max_field_disagreement=max_field_disagreement,
            max_p99_ratio=max_p99_ratio,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise RolloutError(f"--{option} {first['input']} cannot be judged by: {first['msg'].lower()}.") from error
    chosen = settings.load()
    asyncio.run(_check_served(chosen, candidate))
    state = _control(chosen).start(RolloutOrder(candidate, mode, shares, limits))
    if state.rollout is not None:
        share = state.rollout.share / 100
        typer.echo(f"The {mode} of {set_title(candidate)!r} has begun with {share:g} % of the jobs.")


@app.command()
def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False) -> None:
    """Show which models are in use, and how the last rollout stands."""
    control = _control(settings.load())
    records = control.read()
    in_use, evidence = control.in_use(records.state), records.evidence()
    if as_json:
        typer.echo(json.dumps(status_document(records.state, in_use, evidence), indent=2))
    else:
        Console().print(status_view(records.state, in_use, evidence))


@app.command()
def promote(*, reason: _Reason = "promoted by hand") -> None:
    """Put the candidate in use for all jobs now, whatever was seen."""
    control = _control(settings.load())
    typer.echo(f"The model set {set_title(control.in_use(control.promote(reason)))!r} is in use.")


@app.command()
def abort(*, reason: _Reason = "aborted by hand") -> None:
    """End the rollout; what was in use stays in use."""
    control = _control(settings.load())
    typer.echo(f"The rollout has ended; the model set {set_title(control.in_use(control.abort(reason)))!r} is in use.")


def _control(chosen: Settings) -> RolloutControl:
    return RolloutControl(chosen.kafka, chosen.topics.rollouts_topic, chosen.triton.model_set, SystemClock())


def _shares(text: str) -> tuple[int, ...]:
    try:
        shares = tuple(round(100 * float(part)) for part in text.split(","))
    except ValueError as error:
        raise RolloutError(f"--steps {text!r} are no shares: give percents, as 1,5,25,100.") from error
    if list(shares) != sorted(set(shares)) or not shares[0] > 0 or shares[-1] > ALL:
        raise RolloutError(f"--steps {text!r} cannot be gone: give ascending percents over 0 and up to 100.")
    return shares


async def _check_served(chosen: Settings, candidate: str) -> None:
    """Raise RolloutError if Triton does not serve the candidate as workers need it, JobError if it does not answer."""
    backend = bootstrap.triton_backend(chosen)
    try:
        await load_models(backend, model_set=candidate)
    except ServerMismatchError as error:
        raise RolloutError(
            f"Triton at {chosen.triton.url} does not serve the model set {set_title(candidate)!r} as workers need it: "
            f"let it serve, beside the models in use, what `labelwire models build --model-set` wrote ({error})."
        ) from error
    finally:
        await backend.close()
