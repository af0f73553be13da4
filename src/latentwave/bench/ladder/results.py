"""What a ladder found: typed, written to ladder.json and read from it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from latentwave.bench.data.json_files import read_json
from latentwave.bench.ladder.laws import Law
from latentwave.bench.training.files import write_durably
from latentwave.errors import UserError

LADDER = "ladder.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderPoint:
    """One annealed run.

    Attributes:
        setting: how it was trained.
        size: its rung.
        contestant: its name.
        seed: of weights and batches.
        budget: tokens per parameter of the plain backbone.
        num_steps: of the run, the trunk's part included.
        tokens: trained on.
        loss: on validation text at the end, nats per token; null where it diverged.
    """

    setting: str
    size: str
    contestant: str
    seed: int
    budget: float
    num_steps: int
    tokens: int
    loss: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellCost:
    """What one contestant costs at one size and setting.

    Attributes:
        setting: how it is trained.
        size: its rung.
        contestant: its name.
        num_parameters: trainable scalars.
        num_mixer_parameters: those of mixers among them.
        flops_per_token: of training.
        tokens_per_second: of training steps timed in turn with the other contestants; null where
            they were not timed.
    """

    setting: str
    size: str
    contestant: str
    num_parameters: int
    num_mixer_parameters: int
    flops_per_token: float
    tokens_per_second: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateSearch:
    """The search for one contestant's learning rates.

    Attributes:
        setting: how it was trained.
        size: its rung.
        contestant: its name.
        losses: by factor of the learning rates; null where a run diverged.
        chosen: the factor.
        at_end_of_grid: whether a better one may lie outside.
    """

    setting: str
    size: str
    contestant: str
    losses: dict[str, float | None]
    chosen: float
    at_end_of_grid: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its 95 % interval.

    Attributes:
        mean: the estimate.
        low: lower end; null where there is none.
        high: upper end; null where there is none.
    """

    mean: float
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Multiplier:
    """What a contestant saves at one size and budget, against the plain decoder of its setting.

    Attributes:
        setting: how both were trained.
        size: the rung.
        contestant: its name.
        budget: tokens per parameter.
        num_seeds: pairs.
        gain: loss of the plain decoder minus the contestant's, nats per token.
        tokens: tokens that the plain decoder needs for the contestant's loss ÷ tokens used; null
            where no law says it, or where its law never comes down to that loss.
        flops: the same in operations.
        seconds: the same in seconds; null where steps were not timed.
        extrapolated: whether the contestant's loss lies below every run of the plain decoder at
            this size, so that the law is read where it was not measured.
    """

    setting: str
    size: str
    contestant: str
    budget: float
    num_seeds: int
    gain: Interval
    tokens: Interval | None
    flops: Interval | None
    seconds: Interval | None
    extrapolated: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A check of a law: the largest budgets, predicted from the smaller ones.

    Attributes:
        setting: whose plain decoder.
        size: the rung.
        budget: that was left out, tokens per parameter.
        predicted: by the law of the rest, nats per token.
        measured: mean over seeds.
    """

    setting: str
    size: str
    budget: float
    predicted: float
    measured: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """One part of the rule for a default, at its weakest point.

    Attributes:
        passed: whether it holds there.
        where: sizes and budgets.
        value: what was measured there.
    """

    passed: bool
    where: str
    value: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Promotion:
    """Whether a contestant may become a default; see `promotions_of` for the rule.

    Attributes:
        setting: how it was trained.
        contestant: its name.
        measure: "seconds", or "tokens" where steps were not timed.
        saves: whether its multiplier is above 1 everywhere; null: not tested.
        beats_controls: whether it ends below every control, by how many nats; null: not tested.
        lasts: whether the multiplier stays from the smallest size to the largest; null: not tested.
        promoted: whether all three hold, in seconds.
    """

    setting: str
    contestant: str
    measure: str
    saves: Check | None
    beats_controls: Check | None
    lasts: Check | None
    promoted: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderResults:
    """All of a ladder.

    Attributes:
        recipe: as `LadderRecipe.to_dict` gives it.
        command: what was typed.
        environments: of its runs, each once.
        points: annealed runs.
        searches: for learning rates.
        costs: of every contestant at every size.
        laws: of the plain decoder of each setting.
        held_out: checks of these.
        multipliers: of every contestant at every size and budget.
        promotions: of every contestant that is no control.
    """

    recipe: dict[str, Any]
    command: str
    environments: list[dict[str, Any]]
    points: list[LadderPoint]
    searches: list[RateSearch]
    costs: list[CellCost]
    laws: dict[str, Law]
    held_out: list[HeldOut]
    multipliers: list[Multiplier]
    promotions: list[Promotion]

    def write(self, folder: Path) -> None:
        """Write ladder.json."""
        text = json.dumps(_plain(dataclasses.asdict(self)), indent=1, allow_nan=False) + "\n"
        write_durably(folder / LADDER, text)


def read_ladder(folder: Path) -> LadderResults:
    """Read ladder.json of a folder.

    Raises:
        UserError: if there is none, or a damaged one.
    """
    path = folder / LADDER
    if not path.is_file():
        raise UserError(f"{folder} holds no finished ladder: it has no {LADDER}")
    remedy = "run latentwave ladder with --resume, which writes it again"
    values = read_json(path, remedy)
    try:
        return LadderResults(
            **{
                **values,
                "points": [LadderPoint(**each) for each in values["points"]],
                "searches": [RateSearch(**each) for each in values["searches"]],
                "costs": [CellCost(**each) for each in values["costs"]],
                "laws": {name: Law(**each) for name, each in values["laws"].items()},
                "held_out": [HeldOut(**each) for each in values["held_out"]],
                "multipliers": [_multiplier(each) for each in values["multipliers"]],
                "promotions": [_promotion(each) for each in values["promotions"]],
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): {remedy}") from error


def _multiplier(values: dict[str, Any]) -> Multiplier:
    intervals = {
        name: None if values[name] is None else Interval(**values[name])
        for name in ("gain", "tokens", "flops", "seconds")
    }
    return Multiplier(**{**values, **intervals})


def _promotion(values: dict[str, Any]) -> Promotion:
    checks = {}
    for name in ("saves", "beats_controls", "lasts"):
        own = values[name]
        checks[name] = own and Check(**{**own, "value": Interval(**own["value"])})
    return Promotion(**{**values, **checks})


def _plain(value: Any) -> Any:
    """Infinities and NaN as null: JSON has neither."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
