"""Train contestants side by side and measure what each bought."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from rich.console import Console

from latentwave.analysis.cost import ModelCost, measure_cost
from latentwave.analysis.statistics import estimate, speedup
from latentwave.data import Provenance, TokenStore
from latentwave.errors import UserError
from latentwave.training import (
    BASELINE,
    Recipe,
    RunResult,
    describe_environment,
    on_main,
    open_objective,
    start_processes,
    train,
)
from latentwave.training.curve import write_durably

_MAX_SOURCES = 20


def compare(
    recipe: Recipe,
    store: TokenStore,
    folder: Path,
    *,
    resume: bool = False,
    command: str = "",
    console: Console | None = None,
) -> dict[str, Any]:
    """Train every contestant with every seed and write results.json.

    Runs are paired: contestants of one seed start from the same backbone weights and see the
    same batches. Each run has its own folder CONTESTANT-seedN; with `resume` finished ones are
    taken as they are and an interrupted one goes on.

    Args:
        recipe: with the baseline "none" among its contestants.
        store: the corpus of the recipe.
        folder: of the comparison.
        resume: go on in an existing folder.
        command: what was typed, for the record.
        console: where progress is shown.

    Returns:
        The content of results.json, see `summarize`.

    Raises:
        UserError: without a baseline, for an existing folder (without resume), and for what
            `train` refuses.
    """
    if BASELINE not in recipe.contestants:
        raise UserError(
            f"a comparison needs the plain backbone as contestant {BASELINE!r}, the recipe has "
            f"{', '.join(recipe.contestants)}"
        )
    if recipe.contestants[BASELINE].kind is not None:
        raise UserError(f"contestant {BASELINE!r} is the plain backbone and must have no mixer")
    start_processes(recipe.training.timeout_seconds)
    if on_main(lambda: folder.exists() and any(folder.iterdir())) and not resume:
        raise UserError(
            f"the folder {folder} exists: choose another with --output, or go on with --resume"
        )
    # Every contestant is built once before the first is trained: mistakes show now, not in hours.
    objective = open_objective(recipe, store)
    inputs, num_tokens = objective.one_item()
    costs = {
        name: measure_cost(objective.build(contestant, seed=0), num_tokens, inputs)
        for name, contestant in recipe.contestants.items()
    }
    runs = {
        name: [
            train(
                recipe,
                name,
                seed,
                store,
                folder / f"{name}-seed{seed}",
                resume=resume,
                console=console,
            )
            for seed in recipe.seeds
        ]
        for name in recipe.contestants
    }
    summary = summarize(recipe, store, runs, costs)
    results = _without_nan(
        summary | {"task": objective.task, "loss_unit": objective.loss_unit, "command": command}
    )
    text = json.dumps(results, indent=2, allow_nan=False) + "\n"
    on_main(lambda: write_durably(folder / "results.json", text))
    return dict(results)


def summarize(
    recipe: Recipe,
    store: TokenStore,
    runs: dict[str, list[RunResult]],
    costs: dict[str, ModelCost],
) -> dict[str, Any]:
    """Put the numbers of all runs together.

    Args:
        recipe: the experiment.
        store: its corpus.
        runs: for each contestant one run per seed, in the order of the recipe's seeds.
        costs: of each contestant.

    Returns:
        A dictionary of the form that the design fixes for results.json.
    """
    metadata = store.metadata
    classes = metadata.class_names
    # A class is not told by its document's tokens: its nats are not bits of them.
    bits_per_nat = {} if runs[BASELINE][0].metrics else store.bits_per_unit(1.0)
    environments = [run.environment for run in runs[BASELINE]]
    contestants = {}
    for name, own_runs in runs.items():
        cost = costs[name]
        finals = [run.final_loss for run in own_runs]
        contestants[name] = {
            "mixer": _mixer(recipe, name),
            "num_parameters": cost.num_parameters,
            "num_mixer_parameters": cost.num_mixer_parameters,
            "flops_per_token": cost.flops_per_token,
            "tokens_per_second": estimate([r.tokens / r.seconds for r in own_runs]).mean,
            "final_loss": dataclasses.asdict(estimate(finals)),
            "bits_per": {
                unit: dataclasses.asdict(estimate([loss * bits for loss in finals]))
                for unit, bits in bits_per_nat.items()
            },
            "metrics": _metrics(own_runs),
            "curve": _mean_curve(own_runs, cost),
            "speedup": _speedups(runs[BASELINE], own_runs, costs[BASELINE], cost),
            "reached": all(
                min(point.loss for point in run.curve) <= base.final_loss
                for run, base in zip(own_runs, runs[BASELINE], strict=True)
            ),
        }
    return {
        "recipe": recipe.to_dict(),
        "environment": environments[0] if environments else describe_environment(),
        "corpus": {
            "name": metadata.corpus,
            "num_tokens": metadata.num_tokens,
            "vocab_size": metadata.vocab_size,
            "tokenizer": metadata.tokenizer,
            "units_per_token": {
                unit: 1 / (math.log(2) * bits) for unit, bits in bits_per_nat.items()
            },
            "num_classes": None if classes is None else len(classes),
            "sha256": metadata.sha256,
            "provenance": _provenance(metadata.provenance),
        },
        "metrics_split": runs[BASELINE][0].metrics_split,
        "seeds": list(recipe.seeds),
        "contestants": contestants,
    }


def _metrics(runs: list[RunResult]) -> dict[str, dict[str, float | None]]:
    """What was measured of the finished models beside the loss."""
    return {
        name: dataclasses.asdict(estimate([run.metrics[name] for run in runs]))
        for name in runs[0].metrics
    }


def _provenance(provenance: Provenance) -> dict[str, Any]:
    """Where the corpus comes from; of many files only their number and size."""
    sources = provenance.sources
    few = len(sources) <= _MAX_SOURCES
    return {
        "sources": [dataclasses.asdict(source) for source in sources] if few else len(sources),
        "num_source_bytes": sum(source.num_bytes for source in sources),
        "num_skipped_files": len(provenance.skipped),
        "python_version": provenance.python_version,
    }


def _without_nan(value: Any) -> Any:
    """What a diverged run could not measure becomes null: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mixer(recipe: Recipe, name: str) -> dict[str, Any] | None:
    contestant = recipe.contestants[name]
    if contestant.kind is None:
        return None
    return dataclasses.asdict(contestant)


def _mean_curve(runs: list[RunResult], cost: ModelCost) -> list[dict[str, Any]]:
    """All seeds are evaluated at the same steps, so points are averaged one by one."""
    curve = []
    for points in zip(*(run.curve for run in runs), strict=True):
        losses = [point.loss for point in points]
        curve.append(
            {
                "steps": points[0].step,
                "tokens": points[0].tokens,
                "flops": points[0].tokens * cost.flops_per_token,
                "seconds": estimate([point.seconds for point in points]).mean,
                "loss": estimate(losses).mean,
                "losses": losses,
                "metrics": {
                    name: estimate([point.metrics[name] for point in points]).mean
                    for name in points[0].metrics
                },
            }
        )
    return curve


def _speedups(
    baselines: list[RunResult],
    runs: list[RunResult],
    baseline_cost: ModelCost,
    cost: ModelCost,
) -> dict[str, dict[str, float | None]]:
    def axis(run: RunResult, name: str, flops_per_token: float) -> list[float]:
        return {
            "steps": [float(point.step) for point in run.curve],
            "flops": [point.tokens * flops_per_token for point in run.curve],
            "seconds": [point.seconds for point in run.curve],
        }[name]

    def losses(run: RunResult) -> list[float]:
        return [point.loss for point in run.curve]

    return {
        name: dataclasses.asdict(
            estimate(
                [
                    speedup(
                        (losses(base), axis(base, name, baseline_cost.flops_per_token)),
                        (losses(run), axis(run, name, cost.flops_per_token)),
                    )
                    for base, run in zip(baselines, runs, strict=True)
                ]
            )
        )
        for name in ("steps", "flops", "seconds")
    }
