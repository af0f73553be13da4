"""What a comparison found: typed classes that write `results.json` and read it.

`None` in place of a number means "not measured", or that a run diverged: JSON has no NaN.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    JsonValue,
    model_validator,
)

from latentwave.bench.training.contestant import BASELINE
from latentwave.bench.training.files import read_json, write_durably

RESULTS = "results.json"
MEASURES: tuple[Literal["steps", "flops", "seconds"], ...] = ("steps", "flops", "seconds")
METRICS = {"accuracy": "accuracy", "map": "mAP"}
"""What is measured of finished classifiers beside the loss, in words."""


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]


class Record(BaseModel):
    """What all parts of results.json have in common: checked types, no unknown keys, no change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Record):
    """A mean over seeds with its 95 % confidence interval.

    Attributes:
        mean: over seeds; of ratios the geometric one. None if a run diverged.
        low: lower end of the interval; None with one seed.
        high: upper end of the interval; None with one seed.
    """

    mean: Number
    low: Number = None
    high: Number = None


class Speedups(Record):
    """What the baseline spends to come down to its final loss ÷ what the contestant spends.

    Attributes:
        steps: in optimizer steps.
        flops: in floating-point operations of training.
        seconds: in seconds of training.
    """

    steps: Estimate
    flops: Estimate
    seconds: Estimate


class Evaluation(Record):
    """One point of a contestant's loss curve; all seeds are evaluated after the same steps.

    Attributes:
        steps: optimizer steps so far.
        tokens: trained on so far.
        flops: of training so far.
        seconds: of training so far, by the clock, or else the mean over the runs.
        loss: mean over seeds, nats per token or per document.
        losses: of each seed.
        metrics: means over seeds of what else was measured, such as "accuracy".
    """

    steps: int
    tokens: int
    flops: float
    seconds: Number
    loss: Number
    losses: list[Number]
    metrics: dict[str, Number] = {}


class DecodingCost(Record):
    """What one more token costs a model that generates, its context full and in a cache.

    Attributes:
        flops_per_token: of one forward pass over one token.
        cache_bytes: what the cache of one sequence holds: keys, values and the mixers' state, with
            the spare room of its buffers.
        mixer_state_bytes: the mixers' part of them.
    """

    flops_per_token: float
    cache_bytes: int
    mixer_state_bytes: int


class ModelCost(Record):
    """The cost of one model.

    Attributes:
        num_parameters: trainable scalars, tied weights once.
        num_mixer_parameters: those of the mixers among them.
        flops_per_token: of training, forward and backward pass, averaged over a full context;
            a multiplication and an addition count one each.
        peak_memory_bytes: of a forward and a backward pass over one item (B = 1) without gradient
            checkpointing and without the optimizer's moments; None where not measured.
        decoding: None for models that generate nothing, and where not measured.
    """

    num_parameters: int
    num_mixer_parameters: int
    flops_per_token: float
    peak_memory_bytes: int | None = None
    decoding: DecodingCost | None = None


class MixerRecord(Record):
    """What a contestant adds to the backbone.

    Attributes:
        kind: of the mixer, presets resolved.
        options: of that kind.
        placement: after which layers: "between" them, "all", a list, or None for the default of
            the points.
        points: where in a layer.
    """

    kind: str
    options: dict[str, JsonValue] = {}
    placement: str | list[int] | None = None
    points: list[str]


class LossByPosition(Record):
    """The validation loss in a context longer than in training.

    Attributes:
        context: its length.
        edges: ascending positions.
        loss: nats per token of the tokens at edges[i] ≤ t < edges[i + 1].
    """

    context: int
    edges: list[int]
    loss: list[Estimate]


class ContestantResults(ModelCost):
    """One contestant: what it is, what it cost and what it bought.

    Attributes:
        mixer: what it adds to the backbone; None for a plain one.
        backbone: what differs from the recipe's backbone.
        baseline: the contestant that it is measured against.
        learning_rate: that it was trained with.
        num_steps: that it was trained for.
        tokens_per_second: of training.
        final_loss: validation loss, nats per token or per document.
        gain: how much lower that is than the baseline's.
        speedup: over the baseline.
        reached: whether every run comes down to its baseline's final loss. Where one does not, the
            speed-up is that at the lowest loss that both reach.
        bits_per: the final loss in bits per unit, such as "character"; empty for classifiers.
        metrics: of the finished model, such as "accuracy"; empty for language models.
        curve: all evaluations, step 0 included.
        contexts: the loss in contexts longer than in training.
    """

    mixer: MixerRecord | None
    backbone: dict[str, JsonValue] = {}
    baseline: str = BASELINE
    learning_rate: float
    num_steps: int
    tokens_per_second: Number
    final_loss: Estimate
    gain: Estimate
    speedup: Speedups
    reached: bool
    bits_per: dict[str, Estimate] = {}
    metrics: dict[str, Estimate] = {}
    curve: list[Evaluation]
    contexts: list[LossByPosition] = []


class Environment(Record):
    """What something was measured on.

    Attributes:
        versions: of Python and the packages, by name.
        cpu: its model.
        cores: of the machine.
        accelerator: its model; None without one.
        threads: of torch.
        platform: operating system.
        commit: of latentwave, "…-dirty" with uncommitted changes; None outside a checkout.
        num_processes: that trained one model together.
        wrapper: of that model: "none", "ddp" or "fsdp".
        compiled: whether it was compiled.
        device: that it was trained on.
    """

    model_config = ConfigDict(extra="ignore")

    versions: dict[str, str]
    cpu: str
    cores: int | None
    accelerator: str | None
    threads: int
    platform: str
    commit: str | None
    num_processes: int = 1
    wrapper: str = "none"
    compiled: bool = False
    device: str = "cpu"


class StepSeconds(Record):
    """How long a training step took, over the rounds of the clock.

    Attributes:
        median: seconds.
        shortest: seconds.
        longest: seconds.
    """

    median: float
    shortest: float
    longest: float


class ClockRecord(Record):
    """Training steps of all contestants, timed in turn while nothing was trained.

    Attributes:
        rounds: in which one step of each contestant was timed.
        busy_cores: cores that other processes kept busy meanwhile; None where not known.
        environment: what the steps were timed on.
        step_seconds: by contestant.
    """

    rounds: int
    busy_cores: float | None
    environment: Environment
    step_seconds: dict[str, StepSeconds]


class RateSearch(Record):
    """The search for one contestant's learning rate.

    Attributes:
        losses: final loss of the worst seed by rate, nats; None where one diverged.
        chosen: the rate with the lowest.
        at_end_of_grid: whether a better one may lie outside.
        num_steps: of each run of the search.
    """

    losses: dict[str, Number]
    chosen: float
    at_end_of_grid: bool
    num_steps: int


class Statistics(Record):
    """What "mean", "low" and "high" are."""

    interval: str = "percentile bootstrap over seeds, paired"
    confidence: float = 0.95
    mean_of_ratios: str = "geometric"


class SourceRecord(Record):
    """A file that the corpus was read from.

    Attributes:
        name: relative to the corpus.
        num_bytes: its size.
        sha256: of its content, in hexadecimal.
    """

    name: str
    num_bytes: int
    sha256: str


class Provenance(Record):
    """Where the corpus comes from.

    Attributes:
        sources: its files; empty where there are many.
        num_sources: how many there are.
        num_source_bytes: their size.
        num_skipped_files: found beside them and not readable.
        python_version: of the interpreter that prepared the tokens.
    """

    sources: list[SourceRecord]
    num_sources: int
    num_source_bytes: int
    num_skipped_files: int
    python_version: str


class CorpusRecord(Record):
    """The tokens that were trained and validated on.

    Attributes:
        name: of the corpus.
        num_tokens: in all splits.
        vocab_size: distinct tokens; 0 for raw samples.
        tokenizer: what made the tokens.
        units_per_token: characters, bytes, samples or notes; empty for classifiers.
        num_classes: of labelled documents; None without labels.
        sha256: of the tokens, in hexadecimal.
        provenance: where they come from.
    """

    name: str
    num_tokens: int
    vocab_size: int
    tokenizer: str
    units_per_token: dict[str, float]
    num_classes: int | None
    sha256: str
    provenance: Provenance


class Results(Record):
    """A whole comparison.

    Attributes:
        recipe: as in its YAML file, with all defaults.
        budget: what every contestant spends as much of as its baseline.
        environment: of the baseline's first run.
        commits: of all runs; a comparison that was resumed or extended may have several.
        clock: where seconds come from; None: from the runs themselves.
        statistics: what intervals are.
        corpus: what was trained on.
        task: "language-model" or "classification".
        loss_unit: what losses are means over: "token" or "document".
        metrics_split: that the metrics of classifiers were measured on.
        seeds: one run of each contestant for each.
        tuning: the search for learning rates, by contestant; empty without one.
        command: that was typed.
        contestants: by name, in the recipe's order.
    """

    recipe: dict[str, JsonValue]
    budget: Literal["tokens", "flops", "seconds"]
    environment: Environment
    commits: list[str]
    clock: ClockRecord | None
    statistics: Statistics = Statistics()
    corpus: CorpusRecord
    task: str
    loss_unit: str
    metrics_split: str | None
    seeds: list[int]
    tuning: dict[str, RateSearch] = {}
    command: str
    contestants: dict[str, ContestantResults]

    @property
    def name(self) -> str:
        """Of the recipe."""
        return str(self.recipe["name"])

    @property
    def others(self) -> list[str]:
        """The contestants beside the plain backbone, in their order."""
        return [name for name in self.contestants if name != BASELINE]

    @property
    def metrics(self) -> dict[str, str]:
        """The metrics that were measured of finished classifiers, with the words for them."""
        measured = self.contestants[BASELINE].metrics
        return {name: words for name, words in METRICS.items() if name in measured}

    def baseline_of(self, name: str) -> ContestantResults:
        """What a contestant is measured against."""
        return self.contestants[self.contestants[name].baseline]

    @model_validator(mode="after")
    def _fits_together(self) -> Results:
        if "name" not in self.recipe:
            raise ValueError("the recipe has no name")
        if not self.seeds:
            raise ValueError("there must be at least one seed")
        if BASELINE not in self.contestants:
            found = ", ".join(map(repr, self.contestants)) or "no contestant"
            raise ValueError(f"the contestants must include {BASELINE!r}, found {found}")
        plain = self.contestants[BASELINE]
        for name, own in self.contestants.items():
            if own.baseline not in self.contestants:
                raise ValueError(
                    f"there is no contestant {own.baseline!r}, which {name!r} is measured against"
                )
            if not own.curve:
                raise ValueError(f"contestants.{name} has no curve")
            for index, point in enumerate(own.curve):
                if len(point.losses) != len(self.seeds):
                    raise ValueError(
                        f"contestants.{name}.curve.{index} has {len(point.losses)} losses for "
                        f"{len(self.seeds)} seeds"
                    )
            for key in ("bits_per", "metrics"):
                if getattr(own, key).keys() != getattr(plain, key).keys():
                    raise ValueError(f"contestants.{name}.{key} has other keys than {BASELINE!r}")
            if self.clock is not None and name not in self.clock.step_seconds:
                raise ValueError(f"clock.step_seconds has no contestant {name!r}")
        return self


def read_results(path: str | Path) -> Results:
    """Read the results of a comparison.

    Args:
        path: `results.json`, or the folder that holds it.

    Raises:
        UserError: if the file is missing or damaged; the line names the file and the first field
            that is wrong.
    """
    file = Path(path)
    if file.is_dir():
        file = file / RESULTS
    return read_json(file, "give the folder of a finished comparison or its results.json", Results)


def write_results(results: Results, folder: Path) -> None:
    """Write results.json at once: a reader or a crash finds the old file or the new one."""
    write_durably(folder / RESULTS, results.model_dump_json(indent=2) + "\n")
