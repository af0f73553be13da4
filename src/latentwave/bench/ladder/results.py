"""The schema of ladder.json, and how it is read and written."""

from pathlib import Path
from typing import Any

from latentwave.bench.comparison.results import Number, Record
from latentwave.bench.data.folders import write_durably
from latentwave.bench.data.json_files import read_json
from latentwave.bench.ladder.laws import Law

LADDER = "ladder.json"


class OfCell(Record):
    """A part of the results about one contestant at one size on one setting."""

    setting: str
    size: str
    contestant: str


class LadderPoint(OfCell):
    """One annealed run."""

    seed: int  # of weights and batches
    budget: float  # tokens per parameter of the plain backbone
    factor: float  # of the setting's learning rates
    num_steps: int  # the trunk's part included
    tokens: int  # trained on
    loss: Number  # final validation loss, nats per token; None if the run diverged


class CellCost(OfCell):
    """What one contestant costs."""

    num_parameters: int  # trainable scalars
    num_mixer_parameters: int  # the mixers' share
    flops_per_token: float  # of training
    tokens_per_second: float | None = None  # timed in turn with the others; None if not timed


class RateSearch(OfCell):
    """The search for one contestant's learning rates at one budget."""

    budget: float  # of its runs, in tokens per parameter
    losses: dict[str, Number]  # by factor of the learning rates; None where a run diverged
    chosen: float  # the factor with the lowest loss
    at_end_of_grid: bool  # whether a better one may lie outside


class Interval(Record):
    """An estimate with its 95 % interval; an end may be None."""

    mean: float
    low: float | None
    high: float | None


class Multiplier(OfCell):
    """What a contestant saves at one size and budget, against the plain decoder."""

    budget: float  # tokens per parameter
    num_seeds: int  # pairs
    gain: Interval  # loss of the plain decoder minus the contestant's, nats per token
    # tokens that the plain decoder needs for the contestant's loss ÷ tokens used; None if there is
    # no law, or it never reaches that loss
    tokens: Interval | None
    flops: Interval | None  # the same in operations
    seconds: Interval | None  # the same in seconds; None if steps were not timed
    # size of the plain decoder with the contestant's loss after the same tokens ÷ size here; None
    # if that loss lies beyond the sizes measured there
    parameters: Interval | None = None
    # whether the contestant's loss lies below the mean loss of the plain decoder at every budget of
    # this size, where its law was not measured
    extrapolated: bool


class HeldOut(Record):
    """A check of a law: the largest budget of a size, predicted from all smaller budgets."""

    setting: str
    size: str
    budget: float  # tokens per parameter
    predicted: float  # nats per token
    measured: float  # mean over seeds


class Check(Record):
    """One part of the rule for a default, where the contestant does worst."""

    passed: bool
    where: str  # sizes and budgets
    value: Interval  # what was measured there


class Promotion(Record):
    """Whether a contestant may become a default; see `promotions_of` for the rule."""

    setting: str
    contestant: str
    measure: str  # "seconds", or "tokens" if steps were not timed
    saves: Check | None  # whether its multiplier is above 1 everywhere; None: not tested
    beats_controls: Check | None  # whether it ends below every control, and by how many nats
    lasts: Check | None  # whether the multiplier holds from the smallest size to the largest
    # unfinished runs: its own, and those of the plain decoder and the controls beside them
    num_missing: int
    promoted: bool  # whether all three hold, in seconds, and nothing is missing


class LadderResults(Record):
    """A whole ladder."""

    recipe: dict[str, Any]  # see `LadderRecipe.to_dict`
    command: str  # as it was typed
    environments: list[dict[str, Any]]  # of its runs, each once
    points: list[LadderPoint]
    searches: list[RateSearch]
    costs: list[CellCost]
    laws: dict[str, Law]  # of the plain decoder, by setting
    held_out: list[HeldOut]
    multipliers: list[Multiplier]
    promotions: list[Promotion]  # of every contestant that is no control

    def write(self, folder: Path) -> None:
        """Write ladder.json."""
        write_durably(folder / LADDER, self.model_dump_json(indent=1) + "\n")


def read_ladder(folder: Path) -> LadderResults:
    """Read ladder.json of a folder; raises `UserError` if it is missing or damaged."""
    remedy = "run latentwave ladder with --resume, which writes it again"
    return read_json(folder / LADDER, remedy, LadderResults)
