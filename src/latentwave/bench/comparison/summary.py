"""From finished runs to the content of results.json."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from latentwave.bench.comparison.clock import Clock
from latentwave.bench.comparison.cost import ModelCost
from latentwave.bench.comparison.statistics import estimate, estimate_ratio, speedup
from latentwave.bench.data import Provenance, TokenStore
from latentwave.bench.training import BASELINE, Recipe, RunResult

_MAX_SOURCES = 20
# What "mean", "low" and "high" are.
STATISTICS = {
    "interval": "percentile bootstrap over seeds, paired",
    "confidence": 0.95,
    "mean_of_ratios": "geometric",
}


def summarize(
    recipe: Recipe,
    store: TokenStore,
    runs: Mapping[str, Sequence[RunResult]],
    costs: Mapping[str, ModelCost],
    clock: Clock | None = None,
) -> dict[str, Any]:
    """Put the numbers of all runs together.

    Args:
        recipe: the experiment, with each contestant's budget and learning rate.
        store: its corpus.
        runs: for each contestant one run per seed, in the order of the recipe's seeds.
        costs: of each contestant.
        clock: durations of their steps; None takes the seconds of the runs themselves.

    Returns:
        A dictionary of the form that the design fixes for results.json.
    """
    metadata = store.metadata
    classes = metadata.class_names
    # A class is not told by its document's tokens: its nats are not bits of them.
    bits_per_nat = {} if runs[BASELINE][0].metrics else store.bits_per_unit(1.0)
    tracks = {
        name: _tracks(own, costs[name], None if clock is None else clock.seconds_per_step(name))
        for name, own in runs.items()
    }
    contestants = {}
    for name, own_runs in runs.items():
        cost, own = costs[name], recipe.contestants[name]
        finals = [run.final_loss for run in own_runs]
        seen = recipe.as_seen_by(name)
        contestants[name] = {
            "mixer": None if own.kind is None else own.describe_mixer(),
            "backbone": own.backbone,
            "baseline": own.baseline,
            "learning_rate": seen.training.learning_rate,
            "num_steps": seen.training.num_steps,
            "num_parameters": cost.num_parameters,
            "num_mixer_parameters": cost.num_mixer_parameters,
            "flops_per_token": cost.flops_per_token,
            "memory": {"peak_training_bytes": cost.peak_memory_bytes},
            "decoding": None if cost.decoding is None else dataclasses.asdict(cost.decoding),
            "tokens_per_second": estimate(
                [t.tokens[-1] / t.seconds[-1] for t in tracks[name]]
            ).mean,
            "final_loss": dataclasses.asdict(estimate(finals)),
            "bits_per": {
                unit: dataclasses.asdict(estimate([loss * bits for loss in finals]))
                for unit, bits in bits_per_nat.items()
            },
            "metrics": _metrics(own_runs),
            "curve": _mean_curve(own_runs, tracks[name]),
        } | compare_tracks(tracks[own.baseline], tracks[name])
    return {
        "recipe": recipe.to_dict(),
        "budget": recipe.budget,
        "environment": runs[BASELINE][0].environment,
        # A comparison that was resumed or extended may hold runs of several versions.
        "commits": sorted(
            {str(run.environment.get("commit")) for own in runs.values() for run in own}
        ),
        "clock": _describe_clock(clock),
        "statistics": STATISTICS,
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Track:
    """The loss of one run at each evaluation, and what was spent up to it.

    Attributes:
        loss: nats per token or document.
        steps: optimizer steps.
        tokens: trained on.
        flops: of training.
        seconds: of training.
    """

    loss: list[float]
    steps: list[float]
    tokens: list[float]
    flops: list[float]
    seconds: list[float]


def compare_tracks(baselines: Sequence[Track], tracks: Sequence[Track]) -> dict[str, Any]:
    """What a contestant gained over its baseline, paired seed by seed.

    Args:
        baselines: one run per seed.
        tracks: the contestant's runs with the same seeds.

    Returns:
        "gain": how much lower the final loss is, in nats; "speedup" in steps, FLOPs and seconds,
        see `speedup`; "reached": whether every run comes down to its baseline's final loss.
    """
    pairs = list(zip(baselines, tracks, strict=True))
    return {
        "gain": dataclasses.asdict(estimate([base.loss[-1] - own.loss[-1] for base, own in pairs])),
        "speedup": {
            measure: dataclasses.asdict(
                estimate_ratio(
                    [
                        speedup(
                            (base.loss, getattr(base, measure)), (own.loss, getattr(own, measure))
                        )
                        for base, own in pairs
                    ]
                )
            )
            for measure in ("steps", "flops", "seconds")
        },
        "reached": all(min(own.loss) <= base.loss[-1] for base, own in pairs),
    }


def _tracks(runs: Sequence[RunResult], cost: ModelCost, step_seconds: float | None) -> list[Track]:
    return [
        Track(
            loss=[point.loss for point in run.curve],
            steps=[float(point.step) for point in run.curve],
            tokens=[float(point.tokens) for point in run.curve],
            flops=[point.tokens * cost.flops_per_token for point in run.curve],
            seconds=[
                point.seconds if step_seconds is None else point.step * step_seconds
                for point in run.curve
            ],
        )
        for run in runs
    ]


def _describe_clock(clock: Clock | None) -> dict[str, Any]:
    if clock is None:
        return {"method": "runs"}
    return {
        "method": "alternating steps",
        "rounds": min(len(own) for own in clock.step_seconds.values()),
        "busy_cores": clock.busy_cores,
        "environment": clock.environment,
        "step_seconds": {
            name: {
                "median": clock.seconds_per_step(name),
                "shortest": min(own),
                "longest": max(own),
            }
            for name, own in clock.step_seconds.items()
        },
    }


def _metrics(runs: Sequence[RunResult]) -> dict[str, dict[str, float | None]]:
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


def _mean_curve(runs: Sequence[RunResult], tracks: Sequence[Track]) -> list[dict[str, Any]]:
    """All seeds are evaluated at the same steps, so points are averaged one by one."""
    curve = []
    for index, points in enumerate(zip(*(run.curve for run in runs), strict=True)):
        losses = [point.loss for point in points]
        curve.append(
            {
                "steps": points[0].step,
                "tokens": points[0].tokens,
                "flops": tracks[0].flops[index],
                "seconds": estimate([track.seconds[index] for track in tracks]).mean,
                "loss": estimate(losses).mean,
                "losses": losses,
                "metrics": {
                    name: estimate([point.metrics[name] for point in points]).mean
                    for name in points[0].metrics
                },
            }
        )
    return curve
