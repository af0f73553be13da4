"""What a comparison found: typed classes that write `results.json` and read it.

`None` in place of a number means "not measured", or that a run diverged: JSON has no NaN.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from latentwave.bench.data.folders import write_durably
from latentwave.bench.data.json_files import read_json
from latentwave.bench.data.metadata import Source
from latentwave.bench.training.contestant import BASELINE

RESULTS = "results.json"
MEASURES: tuple[Literal["steps", "flops", "seconds"], ...] = ("steps", "flops", "seconds")
METRICS = {"accuracy": "accuracy", "map": "mAP"}
"""What is measured of finished classifiers beside the loss, in words."""


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]


class Record(BaseModel):
    """A part of results.json: types are checked, unknown keys refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Record):
    """A mean over seeds with its 95 % confidence interval."""

    mean: Number  # over seeds; of ratios the geometric one. None if a run diverged.
    low: Number = None  # lower end of the interval; None with one seed
    high: Number = None  # upper end of the interval; None with one seed

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class Speedups(Record):
    """What the baseline spends to come down to its final loss ÷ what the contestant spends."""

    steps: Estimate  # in optimizer steps
    flops: Estimate  # in floating-point operations of training
    seconds: Estimate  # in seconds of training


class Evaluation(Record):
    """One point of a contestant's loss curve; all seeds are evaluated after the same steps."""

    steps: int  # optimizer steps so far
    tokens: int  # trained on so far
    flops: float  # of training so far
    seconds: Number  # of training so far, by the clock, or else the mean over the runs
    loss: Number  # mean over seeds, nats per token or per document
    losses: list[Number]  # of each seed
    metrics: dict[str, Number] = {}  # means over seeds of what else was measured: "accuracy"


class DecodingCost(Record):
    """What one more token costs a model that generates, its context full and in a cache."""

    flops_per_token: float  # of one forward pass over one token
    # of one sequence: keys, values and the mixers' state, with the spare room of its buffers
    cache_bytes: int
    mixer_state_bytes: int  # the mixers' part of them


class ModelCost(Record):
    """The cost of one model."""

    num_parameters: int  # trainable scalars, tied weights once
    num_mixer_parameters: int  # those of the mixers among them
    # of training, forward and backward pass, averaged over a full context; multiplications and
    # additions count one each
    flops_per_token: float
    # of a forward and a backward pass over one item, without gradient checkpointing and the
    # optimizer's moments
    peak_memory_bytes: int | None = None
    decoding: DecodingCost | None = None  # None for models that generate nothing


class MixerRecord(Record):
    """What a contestant adds to the backbone."""

    kind: str  # of the mixer, presets resolved
    options: dict[str, JsonValue] = {}  # of that kind
    # after which layers: "between" them, "all", a list; None: what the points stand for
    placement: str | list[int] | None = None
    points: list[str]  # where in a layer


class LossByPosition(Record):
    """The validation loss in a context longer than in training."""

    context: int  # its length
    edges: list[int]  # ascending positions
    loss: list[Estimate]  # nats per token of the tokens at edges[i] ≤ t < edges[i + 1]


class ContestantResults(ModelCost):
    """One contestant: what it is, what it cost and what it bought."""

    mixers: list[MixerRecord]  # what it adds to the backbone; none to a plain one
    backbone: dict[str, JsonValue] = {}  # what differs from the recipe's backbone
    baseline: str = BASELINE  # the contestant that it is measured against
    learning_rate: float  # that it was trained with
    num_steps: int  # that it was trained for
    tokens_per_second: Number  # of training
    final_loss: Estimate  # validation loss, nats per token or per document
    gain: Estimate  # how much lower that is than the baseline's
    speedup: Speedups  # over the baseline
    # whether every run comes down to its baseline's final loss and none diverges; where one stays
    # above it, the speed-up is that at the lowest loss that both reach
    reached: bool
    bits_per: dict[str, Estimate] = {}  # final loss by unit, such as "character"; not classifiers
    metrics: dict[str, Estimate] = {}  # of the finished classifier, such as "accuracy"
    curve: list[Evaluation] = Field(min_length=1)  # all evaluations, step 0 included
    contexts: list[LossByPosition] = []  # the loss in contexts longer than in training


class Environment(Record):
    """What something was measured on."""

    model_config = ConfigDict(extra="ignore")

    versions: dict[str, str]  # of Python and the packages, by name
    cpu: str  # its model
    cores: int | None  # of the machine
    accelerator: str | None  # its model; None without one
    threads: int  # of torch
    platform: str  # operating system
    commit: str | None  # of latentwave, "…-dirty" with uncommitted changes; None outside a checkout
    num_processes: int = 1  # that trained one model together
    wrapper: str = "none"  # of that model; "none" for one process
    compiled: bool = False  # whether it was compiled
    device: str = "cpu"  # that it was trained on


class StepSeconds(Record):
    """How long a training step took, over the rounds of the clock."""

    median: float  # of its shares of a round, in the median round, see `Clock`
    shortest: float
    longest: float


class ClockRecord(Record):
    """Training steps of all contestants, timed in turn while nothing was trained."""

    rounds: int  # in which one step of each contestant was timed
    busy_cores: float | None  # cores that other processes kept busy meanwhile; None where not known
    environment: Environment  # what the steps were timed on
    step_seconds: dict[str, StepSeconds]  # by contestant


class RateSearch(Record):
    """The search for one contestant's learning rate."""

    losses: dict[str, Number]  # final loss of the worst seed by rate, nats; None where one diverged
    chosen: float  # the rate with the lowest
    at_end_of_grid: bool  # whether a better one may lie outside
    num_steps: int  # of each run of the search


class Statistics(Record):
    """What "mean", "low" and "high" are."""

    interval: str = "percentile bootstrap over seeds, paired"
    confidence: float = 0.95
    mean_of_ratios: str = "geometric"


class Provenance(Record):
    """Where the corpus comes from."""

    sources: list[Source]  # its files; empty where there are many
    num_sources: int  # how many there are
    num_source_bytes: int  # their size
    num_skipped_files: int  # found beside them and not readable
    python_version: str  # of the interpreter that prepared the tokens


class CorpusRecord(Record):
    """The tokens that were trained and validated on."""

    name: str  # of the corpus
    num_tokens: int  # in all splits
    vocab_size: int  # distinct tokens; 0 for raw samples
    tokenizer: str  # what made the tokens
    units_per_token: dict[str, float]  # characters, bytes, samples or notes; empty for classifiers
    num_classes: int | None  # of labelled documents; None without labels
    sha256: str  # of the tokens, in hexadecimal
    provenance: Provenance  # where they come from


class Results(Record):
    """A whole comparison."""

    recipe: dict[str, JsonValue]  # as in its YAML file, with all defaults
    budget: Literal["tokens", "flops", "seconds"]  # of which all spend as much as their baseline
    environment: Environment  # of the baseline's first run
    commits: list[str]  # of all runs; a comparison that was resumed or extended may have several
    clock: ClockRecord | None  # where seconds come from; None: from the runs themselves
    statistics: Statistics = Statistics()  # what intervals are
    corpus: CorpusRecord  # what was trained on
    task: str  # "language-model" or "classification"
    loss_unit: str  # what losses are means over: "token" or "document"
    metrics_split: str | None  # the split that the metrics of classifiers were measured on
    seeds: list[int] = Field(min_length=1)  # one run of each contestant for each
    tuning: dict[str, RateSearch] = {}  # the search for learning rates, by contestant
    command: str  # that was typed
    contestants: dict[str, ContestantResults]  # by name, in the recipe's order

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
        if BASELINE not in self.contestants:
            found = ", ".join(map(repr, self.contestants)) or "no contestant"
            raise ValueError(f"the contestants must include {BASELINE!r}, found {found}")
        plain = self.contestants[BASELINE]
        for name, own in self.contestants.items():
            if own.baseline not in self.contestants:
                raise ValueError(
                    f"there is no contestant {own.baseline!r}, which {name!r} is measured against"
                )
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
    """Read `results.json`, given by its path or that of its folder.

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
