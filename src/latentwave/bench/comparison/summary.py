"""Turns finished runs into the content of results.json."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from latentwave.bench.comparison import results as schema
from latentwave.bench.comparison.clock import Clock
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
    costs: Mapping[str, schema.ModelCost],
    clock: Clock | None,
    tuning: dict[str, schema.RateSearch],
    contexts: Mapping[str, list[schema.LossByPosition]],
    command: str,
) -> schema.Results:
    """Put the numbers of all runs together.

    `recipe` is as given, `planned` has each contestant's budget and learning rate. Each contestant
    has one run per seed, in the recipe's order. Without a clock, seconds are those of the runs.
    """
    objective = open_objective(recipe, store)
    # Nats per document say nothing about the bits of its tokens.
    classifies = objective.task == "classification"
    bits_per_nat = {} if classifies else store.bits_per_unit(1.0)
    units = {unit: 1 / (math.log(2) * bits) for unit, bits in bits_per_nat.items()}
    every_run = list(itertools.chain(*runs.values()))
    metrics = dict.fromkeys(metric for run in every_run for metric in run.metrics)
    curves = {
        name: _curve(
            seeds, costs[name].flops_per_token, clock.seconds_per_step(name) if clock else None
        )
        for name, seeds in runs.items()
    }
    contestants = {}
    for name, contestant in recipe.contestants.items():
        training = planned.as_seen_by(name).training
        contestants[name] = schema.ContestantResults(
            **dict(costs[name]),
            **derive(curves[name], curves[contestant.baseline], units),
            mixers=[schema.MixerRecord(**each) for each in contestant.describe_mixers()],
            backbone=contestant.backbone,
            baseline=contestant.baseline,
            learning_rate=training.learning_rate,
            num_steps=training.num_steps,
            metrics={
                m: estimate([r.metrics.get(m, math.nan) for r in runs[name]]) for m in metrics
            },
            curve=curves[name],
            contexts=contexts[name],
        )
    return schema.Results(
        recipe=recipe.to_dict(),
        budget=recipe.budget,
        environment=schema.Environment(**runs[BASELINE][0].environment),
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
    curve: Sequence[schema.Evaluation],
    baseline: Sequence[schema.Evaluation],
    units_per_token: Mapping[str, float],
) -> dict[str, Any]:
    """The numbers of a contestant that follow from its loss curve and its baseline's.

    Both have the same seeds and are paired seed by seed. `units_per_token` is by unit, such as
    "character".

    Returns:
        The fields final_loss, gain, speedup, reached, bits_per and tokens_per_second of
        `ContestantResults`.
    """
    pairs = list(zip(_losses_by_seed(baseline), _losses_by_seed(curve), strict=True))
    finals = [losses[-1] for _, losses in pairs]

    def speedup_in(measure: str) -> schema.Estimate:
        base_costs, costs = (
            [_number(getattr(point, measure)) for point in points] for points in (baseline, curve)
        )
        return estimate_ratio([speedup((a, base_costs), (b, costs)) for a, b in pairs])

    return {
        "final_loss": estimate(finals),
        "gain": estimate([base[-1] - losses[-1] for base, losses in pairs]),
        "speedup": schema.Speedups(**{measure: speedup_in(measure) for measure in schema.MEASURES}),
        "reached": all(min(b) <= a[-1] and math.isfinite(b[-1]) for a, b in pairs),
        "bits_per": {
            unit: estimate([loss / (math.log(2) * number) for loss in finals])
            for unit, number in units_per_token.items()
        },
        "tokens_per_second": curve[-1].tokens / (curve[-1].seconds or math.nan),
    }


def compare_contestants(results: schema.Results, first: str, second: str) -> schema.Estimate:
    """How much higher one contestant's final loss is than another's, paired seed by seed.

        mean over seeds of ( final loss of `first` − final loss of `second` )

    The intervals of two final losses may overlap although one contestant is better with every
    seed: both include the spread over seeds, which cancels in the differences.

    Returns:
        The difference in nats, above 0 if `second` is better; no interval for one seed, no mean if
        a run diverged. If the interval includes 0, the comparison is undecided.

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


def _losses_by_seed(curve: Sequence[schema.Evaluation]) -> list[tuple[float, ...]]:
    """The losses of each seed at all evaluations; NaN where a run diverged."""
    return list(zip(*(map(_number, point.losses) for point in curve), strict=True))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _curve(
    runs: Sequence[RunResult], flops_per_token: float, step_seconds: float | None
) -> list[schema.Evaluation]:
    """Averages over seeds, which are all evaluated after the same steps."""
    return [
        schema.Evaluation(
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
        rounds=min(map(len, clock.step_seconds.values())),
        busy_cores=clock.busy_cores,
        environment=schema.Environment(**clock.environment),
        step_seconds={
            name: schema.StepSeconds(
                median=clock.seconds_per_step(name), shortest=min(steps), longest=max(steps)
            )
            for name, steps in clock.step_seconds.items()
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
