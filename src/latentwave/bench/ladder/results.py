"""What a ladder found: typed classes that write ladder.json and read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latentwave.bench.comparison.results import Number, Record
from latentwave.bench.data.folders import write_durably
from latentwave.bench.data.json_files import read_json
from latentwave.bench.ladder.laws import Law
from latentwave.errors import UserError

LADDER = "ladder.json"


class OfCell(Record):
    """Something of one contestant at one size."""

    setting: str  # how it was trained
    size: str  # its rung
    contestant: str


class LadderPoint(OfCell):
    """One annealed run."""

    seed: int  # of weights and batches
    budget: float  # tokens per parameter of the plain backbone
    factor: float  # of the setting's learning rates
    num_steps: int  # of the run, the trunk's part included
    tokens: int  # trained on
    loss: Number  # on validation text at the end, nats per token; None where it diverged


class CellCost(OfCell):
    """What one contestant costs at one size and setting."""

    num_parameters: int  # trainable scalars
    num_mixer_parameters: int  # those of mixers among them
    flops_per_token: float  # of training
    tokens_per_second: float | None = None  # timed in turn with the others; None where not timed


class RateSearch(OfCell):
    """The search for one contestant's learning rates at one budget."""

    budget: float  # of its runs, in tokens per parameter
    losses: dict[str, Number]  # by factor of the learning rates; None where a run diverged
    chosen: float  # the factor
    at_end_of_grid: bool  # whether a better one may lie outside


class Interval(Record):
    """An estimate with its 95 % interval; None for an end that there is not."""

    mean: float
    low: float | None
    high: float | None


class Multiplier(OfCell):
    """What a contestant saves at one size and budget, against the plain decoder of its setting."""

    budget: float  # tokens per parameter
    num_seeds: int  # pairs
    gain: Interval  # loss of the plain decoder minus the contestant's, nats per token
    # tokens that the plain decoder needs for the contestant's loss ÷ tokens used; None where no
    # law says it, or where its law never comes down to that loss
    tokens: Interval | None
    flops: Interval | None  # the same in operations
    seconds: Interval | None  # the same in seconds; None where steps were not timed
    # size of the plain decoder that has the contestant's loss after the same tokens ÷ size of the
    # plain decoder here; None where that loss lies beyond the sizes measured there
    parameters: Interval | None = None
    # whether that loss lies below every run of the plain decoder at this size, so that the law is
    # read where it was not measured
    extrapolated: bool


class HeldOut(Record):
    """A check of a law: the largest budgets, predicted from the smaller ones."""

    setting: str  # whose plain decoder
    size: str
    budget: float  # that was left out, tokens per parameter
    predicted: float  # by the law of the rest, nats per token
    measured: float  # mean over seeds


class Check(Record):
    """One part of the rule for a default, at its weakest point."""

    passed: bool  # whether it holds there
    where: str  # sizes and budgets
    value: Interval  # what was measured there


class Promotion(Record):
    """Whether a contestant may become a default; see `promotions_of` for the rule."""

    setting: str  # how it was trained
    contestant: str
    measure: str  # "seconds", or "tokens" where steps were not timed
    saves: Check | None  # its multiplier is above 1 everywhere; None: not tested
    beats_controls: Check | None  # it ends below every control, by how many nats
    lasts: Check | None  # the multiplier stays from the smallest size to the largest
    # runs that have not ended: its own, and the plain decoder's and every control's beside them
    num_missing: int
    promoted: bool  # whether all three hold, in seconds, and nothing is missing


class LadderResults(Record):
    """All of a ladder."""

    recipe: dict[str, Any]  # as `LadderRecipe.to_dict` gives it
    command: str  # that was typed
    environments: list[dict[str, Any]]  # of its runs, each once
    points: list[LadderPoint]  # annealed runs
    searches: list[RateSearch]  # for learning rates
    costs: list[CellCost]  # of every contestant at every size
    laws: dict[str, Law]  # of the plain decoder of each setting
    held_out: list[HeldOut]  # checks of these
    multipliers: list[Multiplier]  # of every contestant at every size and budget
    promotions: list[Promotion]  # of every contestant that is no control

    def write(self, folder: Path) -> None:
        """Write ladder.json."""
        write_durably(folder / LADDER, self.model_dump_json(indent=1) + "\n")


def read_ladder(folder: Path) -> LadderResults:
    """Read ladder.json of a folder; raises `UserError` if there is none, or a damaged one."""
    path = folder / LADDER
    if not path.is_file():
        raise UserError(f"{folder} holds no finished ladder: it has no {LADDER}")
    remedy = "run latentwave ladder with --resume, which writes it again"
    return read_json(path, remedy, LadderResults)
