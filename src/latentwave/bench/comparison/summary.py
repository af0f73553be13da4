"""From finished runs to the content of results.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from latentwave.bench.comparison import results as schema
from latentwave.bench.comparison.clock import Clock
from latentwave.bench.comparison.results import (
    MEASURES,
    ContestantResults,
    Environment,
    Estimate,
    Evaluation,
    LossByPosition,
    ModelCost,
    RateSearch,
    Results,
    Speedups,
)
from latentwave.bench.comparison.statistics import estimate, estimate_ratio, speedup
from latentwave.bench.data import TokenStore
from latentwave.bench.training import BASELINE, Recipe, RunResult, open_objective
from latentwave.errors import UserError

_MAX_SOURCES = 20


def summarize(
    recipe: Recipe,
    runs: Mapping[str, Sequence[RunResult]],
    *,
    planned: Recipe,
    store: TokenStore,
    costs: Mapping[str, ModelCost],
    clock: Clock | None,
    tuning: dict[str, RateSearch],
    contexts: Mapping[str, list[LossByPosition]],
    command: str,
) -> Results:
    """Put the numbers of all runs together.

    `recipe` is the experiment as it was given, `planned` the same with each contestant's budget and
    learning rate. Each contestant has one run per seed, in the order of the recipe's seeds. Without
    a clock the seconds are those of the runs.
    """
    objective = open_objective(recipe, store)
    # Nats per document say nothing about the bits of its tokens.
    classifies = objective.task == "classification"
    bits_per_nat = {} if classifies else store.bits_per_unit(1.0)
    units = {unit: 1 / (math.log(2) * bits) for unit, bits in bits_per_nat.items()}
    every_run = [run for own in runs.values() for run in own]
    metrics = dict.fromkeys(metric for run in every_run for metric in run.metrics)
    curves = {
        name: _curve(
            own, costs[name].flops_per_token, clock.seconds_per_step(name) if clock else None
        )
        for name, own in runs.items()
    }
    contestants = {}
    for name, own in recipe.contestants.items():
        training = planned.as_seen_by(name).training
        contestants[name] = ContestantResults(
            **dict(costs[name]),
            **derive(curves[name], curves[own.baseline], units),
            mixers=[schema.MixerRecord(**each) for each in own.describe_mixers()],
            backbone=own.backbone,
            baseline=own.baseline,
            learning_rate=training.learning_rate,
            num_steps=training.num_steps,
            metrics={
                m: estimate([r.metrics.get(m, math.nan) for r in runs[name]]) for m in metrics
            },
            curve=curves[name],
            contexts=contexts[name],
        )
    return Results(
        recipe=recipe.to_dict(),
        budget=recipe.budget,
        environment=Environment(**runs[BASELINE][0].environment),
        commits=sorted({str(run.environment["commit"]) for run in every_run}),
        clock=None if clock is None else _clock(clock),
        corpus=_corpus(store, units),
        task=objective.task,
        loss_unit=objective.loss_unit,
        metrics_split=next((run.metrics_split for run in every_run if run.metrics), None),
        seeds=list(recipe.seeds),
        tuning=tuning,
        command=command,
        contestants=contestants,
    )


def derive(
    curve: Sequence[Evaluation],
    baseline: Sequence[Evaluation],
    units_per_token: Mapping[str, float],
) -> dict[str, Any]:
    """The numbers of a contestant that follow from its loss curve and its baseline's.

    Both have the same seeds, and are paired seed by seed. Units per token are by unit, such as
    "character".

    Returns:
        The fields final_loss, gain, speedup, reached, bits_per and tokens_per_second of
        `ContestantResults`.
    """
    pairs = list(zip(_losses(baseline), _losses(curve), strict=True))
    finals = [own[-1] for _, own in pairs]

    def times(measure: str) -> Estimate:
        theirs, ours = (
            [_number(getattr(point, measure)) for point in points] for points in (baseline, curve)
        )
        return estimate_ratio([speedup((base, theirs), (own, ours)) for base, own in pairs])

    return {
        "final_loss": estimate(finals),
        "gain": estimate([base[-1] - own[-1] for base, own in pairs]),
        "speedup": Speedups(**{measure: times(measure) for measure in MEASURES}),
        "reached": all(min(own) <= base[-1] and math.isfinite(own[-1]) for base, own in pairs),
        "bits_per": {
            unit: estimate([loss / (math.log(2) * number) for loss in finals])
            for unit, number in units_per_token.items()
        },
        "tokens_per_second": curve[-1].tokens / (curve[-1].seconds or math.nan),
    }


def compare_contestants(results: Results, first: str, second: str) -> Estimate:
    """How much higher one contestant's final loss is than another's, paired seed by seed.

        mean over seeds of ( final loss of `first` − final loss of `second` )

    Intervals of two final losses may overlap though one contestant is better with every seed: both
    hold what seeds differ by. Their differences do not.

    Returns:
        The difference in nats, above 0 where `second` is better; without an interval for one seed,
        without a mean if a run diverged. If the interval holds 0, the comparison is undecided.

    Raises:
        UserError: if there is no such contestant.
    """
    for name in (first, second):
        if name not in results.contestants:
            found = ", ".join(results.contestants)
            raise UserError(f"the results have no contestant {name!r}, only {found}")
    ends = (results.contestants[name].curve[-1].losses for name in (first, second))
    pairs = zip(*ends, strict=True)
    return estimate([_number(a) - _number(b) for a, b in pairs])


def _losses(curve: Sequence[Evaluation]) -> list[list[float]]:
    """Of each seed at each evaluation; NaN where a run diverged."""
    return [list(own) for own in zip(*(map(_number, p.losses) for p in curve), strict=True)]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _curve(
    runs: Sequence[RunResult], flops_per_token: float, step_seconds: float | None
) -> list[Evaluation]:
    """All seeds are evaluated after the same steps, so points are averaged one by one."""
    return [
        Evaluation(
            steps=points[0].step,
            tokens=points[0].tokens,
            flops=points[0].tokens * flops_per_token,
            seconds=(
                float(np.mean([point.seconds for point in points]))
                if step_seconds is None
                else points[0].step * step_seconds
            ),
            loss=float(np.mean([point.loss for point in points])),
            losses=[point.loss for point in points],
            metrics={
                name: float(np.mean([point.metrics.get(name, math.nan) for point in points]))
                for name in points[0].metrics
            },
        )
        for points in zip(*(run.curve for run in runs), strict=True)
    ]


def _clock(clock: Clock) -> schema.ClockRecord:
    return schema.ClockRecord(
        rounds=min(len(own) for own in clock.step_seconds.values()),
        busy_cores=clock.busy_cores,
        environment=Environment(**clock.environment),
        step_seconds={
            name: schema.StepSeconds(
                median=clock.seconds_per_step(name), shortest=min(own), longest=max(own)
            )
            for name, own in clock.step_seconds.items()
        },
    )


def _corpus(store: TokenStore, units_per_token: dict[str, float]) -> schema.CorpusRecord:
    metadata, provenance = store.metadata, store.metadata.provenance
    sources = provenance.sources
    return schema.CorpusRecord(
        name=metadata.corpus,
        num_tokens=metadata.num_tokens,
        vocab_size=metadata.vocab_size,
        tokenizer=metadata.tokenizer,
        units_per_token=units_per_token,
        num_classes=metadata.num_classes,
        sha256=metadata.sha256,
        provenance=schema.Provenance(
            sources=list(sources) if len(sources) <= _MAX_SOURCES else [],
            num_sources=len(sources),
            num_source_bytes=sum(source.num_bytes for source in sources),
            num_skipped_files=len(provenance.skipped),
            python_version=provenance.python_version,
        ),
    )
