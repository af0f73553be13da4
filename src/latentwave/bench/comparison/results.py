"""The schema of results.json, and how it is read and written.

`None` in place of a number means that it was not measured or a run diverged: JSON has no NaN.
"""

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
"""What is measured of finished classifiers besides the loss, and the word for it."""


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]


class Record(BaseModel):
    """A part of results.json: immutable, with checked types and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Record):
    """A mean over seeds with its 95 % confidence interval."""

    mean: Number  # over seeds; geometric for ratios; None if a run diverged
    low: Number = None  # ends of the interval; None with one seed
    high: Number = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class Speedups(Record):
    """What the baseline spends to reach its final loss ÷ what the contestant spends."""

    steps: Estimate  # optimizer steps
    flops: Estimate  # floating-point operations of training
    seconds: Estimate  # of training


class Evaluation(Record):
    """One point of a contestant's loss curve; all seeds are evaluated after the same steps."""

    # spent on training so far
    steps: int
    tokens: int
    flops: float
    seconds: Number  # by the clock, or else the mean over the runs
    loss: Number  # mean over seeds, nats per token or per document
    losses: list[Number]  # of each seed
    metrics: dict[str, Number] = {}  # other means over seeds, such as "accuracy"


class DecodingCost(Record):
    """The cost of generating one more token, with a full context in the cache."""

    flops_per_token: float  # of one forward pass over one token
    # of one sequence: keys, values and the mixers' state, spare room in its buffers included
    cache_bytes: int
    mixer_state_bytes: int  # the mixers' share


class ModelCost(Record):
    """The cost of one model."""

    num_parameters: int  # trainable scalars, tied weights once
    num_mixer_parameters: int  # the mixers' share
    # of a forward and a backward pass, averaged over a full context; a multiplication and an
    # addition count one each
    flops_per_token: float
    # of a forward and a backward pass over one item, without gradient checkpointing and the
    # optimizer's moments
    peak_memory_bytes: int | None = None
    decoding: DecodingCost | None = None  # None for models that do not generate


class MixerRecord(Record):
    """What a contestant adds to the backbone."""

    kind: str  # of the mixer, presets resolved
    options: dict[str, JsonValue] = {}  # of that kind
    # after which layers: "between", "all" or a list; None: as the points imply
    placement: str | list[int] | None = None
    points: list[str]  # where in a layer


class LossByPosition(Record):
    """The validation loss in a context longer than in training."""

    context: int  # its length
    edges: list[int]  # ascending positions
    loss: list[Estimate]  # nats per token at edges[i] ≤ t < edges[i + 1]


class ContestantResults(ModelCost):
    """One contestant: what it is, what it cost and what it bought."""

    mixers: list[MixerRecord]  # empty for a plain backbone
    backbone: dict[str, JsonValue] = {}  # changes to the recipe's backbone
    baseline: str = BASELINE  # the contestant that it is measured against
    learning_rate: float
    num_steps: int
    tokens_per_second: Number  # of training
    final_loss: Estimate  # validation loss, nats per token or per document
    gain: Estimate  # the baseline's final loss minus this one
    speedup: Speedups  # over the baseline
    # whether no run diverges and each reaches its baseline's final loss; otherwise the speed-up is
    # the one at the lowest loss that both reach
    reached: bool
    bits_per: dict[str, Estimate] = {}  # final loss by unit, such as "character"; not classifiers
    metrics: dict[str, Estimate] = {}  # of the finished classifier, such as "accuracy"
    curve: list[Evaluation] = Field(min_length=1)  # all evaluations, step 0 included
    contexts: list[LossByPosition] = []  # the loss in contexts longer than in training


class Environment(Record):
    """The software and hardware of a measurement."""

    model_config = ConfigDict(extra="ignore")

    versions: dict[str, str]  # of Python and the packages, by name
    cpu: str  # its model
    cores: int | None  # of the machine
    accelerator: str | None  # its model; None without one
    threads: int  # of torch
    platform: str  # operating system
    commit: str | None  # of latentwave, "…-dirty" with uncommitted changes; None outside a checkout
    num_processes: int = 1  # that trained one model together
    wrapper: str = "none"  # of the model for several processes
    compiled: bool = False  # whether the model was
    device: str = "cpu"  # of training


class StepSeconds(Record):
    """How long a training step took, over the rounds of the clock."""

    median: float  # see `Clock.seconds_per_step`
    shortest: float
    longest: float


class ClockRecord(Record):
    """Training steps of all contestants, timed in turn while nothing was trained."""

    rounds: int  # one step of each contestant in each
    busy_cores: float | None  # cores that other processes kept busy meanwhile; None where unknown
    environment: Environment
    step_seconds: dict[str, StepSeconds]  # by contestant


class RateSearch(Record):
    """The search for one contestant's learning rate."""

    losses: dict[str, Number]  # final loss of the worst seed by rate, nats; None where one diverged
    chosen: float  # the rate with the lowest loss
    at_end_of_grid: bool  # whether a better one may lie outside
    num_steps: int  # of each run of the search


class Statistics(Record):
    """How "mean", "low" and "high" are computed."""

    interval: str = "percentile bootstrap over seeds, paired"
    confidence: float = 0.95
    mean_of_ratios: str = "geometric"


class Provenance(Record):
    """Where the corpus comes from."""

    sources: list[Source]  # its files; empty if there are many
    num_sources: int
    num_source_bytes: int
    num_skipped_files: int  # that could not be read
    python_version: str  # of the interpreter that prepared the tokens


class CorpusRecord(Record):
    """The tokens that were trained and validated on."""

    name: str  # of the corpus
    num_tokens: int  # in all splits
    vocab_size: int  # distinct tokens; 0 for raw samples
    tokenizer: str
    units_per_token: dict[str, float]  # characters, bytes, samples or notes; empty for classifiers
    num_classes: int | None  # of labelled documents; None without labels
    sha256: str  # of the tokens, in hexadecimal
    provenance: Provenance


class Results(Record):
    """A whole comparison."""

    recipe: dict[str, JsonValue]  # as in its YAML file, with all defaults
    budget: Literal["tokens", "flops", "seconds"]  # what each spends as much of as its baseline
    environment: Environment  # of the baseline's first run
    commits: list[str]  # of all runs; several if the comparison was resumed or extended
    clock: ClockRecord | None  # the source of seconds; None: the runs themselves
    statistics: Statistics = Statistics()
    corpus: CorpusRecord
    task: str  # "language-model" or "classification"
    loss_unit: str  # "token" or "document", which losses are means over
    metrics_split: str | None  # that classifiers' metrics were measured on
    seeds: list[int] = Field(min_length=1)  # one run of each contestant for each
    tuning: dict[str, RateSearch] = {}  # searches for learning rates, by contestant
    command: str  # as it was typed
    contestants: dict[str, ContestantResults]  # by name, in the recipe's order

    @property
    def name(self) -> str:
        """Of the recipe."""
        return str(self.recipe["name"])

    @property
    def others(self) -> list[str]:
        """All contestants but the plain backbone, in their order."""
        return [name for name in self.contestants if name != BASELINE]

    @property
    def metrics(self) -> dict[str, str]:
        """The metrics of finished classifiers that were measured, with the words for them."""
        measured = self.contestants[BASELINE].metrics
        return {name: words for name, words in METRICS.items() if name in measured}

    def baseline_of(self, name: str) -> ContestantResults:
        """The contestant that another is measured against."""
        return self.contestants[self.contestants[name].baseline]

    @model_validator(mode="after")
    def _fits_together(self) -> "Results":
        if "name" not in self.recipe:
            raise ValueError("the recipe has no name")
        if BASELINE not in self.contestants:
            found = ", ".join(map(repr, self.contestants)) or "no contestant"
            raise ValueError(f"the contestants must include {BASELINE!r}, found {found}")
        plain = self.contestants[BASELINE]
        for name, contestant in self.contestants.items():
            baseline = contestant.baseline
            if baseline not in self.contestants:
                raise ValueError(
                    f"there is no contestant {baseline!r}, which {name!r} is measured against"
                )
            for index, point in enumerate(contestant.curve):
                if len(point.losses) != len(self.seeds):
                    raise ValueError(
                        f"contestants.{name}.curve.{index} has {len(point.losses)} losses for "
                        f"{len(self.seeds)} seeds"
                    )
            for key in ("bits_per", "metrics"):
                if getattr(contestant, key).keys() != getattr(plain, key).keys():
                    raise ValueError(f"contestants.{name}.{key} has other keys than {BASELINE!r}")
            if self.clock is not None and name not in self.clock.step_seconds:
                raise ValueError(f"clock.step_seconds has no contestant {name!r}")
        return self


def read_results(path: str | Path) -> Results:
    """Read `results.json`, given its path or that of its folder.

    Raises:
        UserError: if the file is missing or damaged; names the first field that is wrong.
    """
    file = Path(path)
    file = file / RESULTS if file.is_dir() else file
    return read_json(file, "give the folder of a finished comparison or its results.json", Results)


def write_results(results: Results, folder: Path) -> None:
    """Write results.json atomically: a reader or a crash finds the old file or the new one."""
    write_durably(folder / RESULTS, results.model_dump_json(indent=2) + "\n")
