"""The numbers of a comparison, computed again from the curves of its `results.json`.

What the pages show is computed here with the package's own `estimate` and `compare_tracks`, and
what `results.json` itself says must agree, so that one that was edited by hand or is older than
its curves is found out. Three things cannot be computed from the curves and are taken as they
were recorded: parameters, FLOPs per token, and the metrics of the finished models. A fourth can
only be bounded: comparisons that did not time steps in turn keep the mean of the seconds over
seeds, not each seed's, so with several seeds the recorded rates and speed-ups in seconds are
shown, and must lie within `LOOSE_SHARE` of those that the mean seconds give.

Older comparisons recorded the arithmetic mean of the speed-ups of seeds. They are checked against
that, and shown as `compare_tracks` computes them now.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from latentwave.bench.comparison import Estimate, Track, compare_tracks, estimate, speedup
from latentwave.bench.report import load_results
from latentwave.bench.report.results import MEASURES
from latentwave.errors import UserError

LOOSE_SHARE = 0.1
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contestant:
    """One contestant's numbers.

    Attributes:
        name: of the contestant.
        baseline: the contestant that it is measured against.
        recorded: its part of results.json.
        final_loss: nats per token or document.
        gain: how much lower that is than the baseline's.
        speedup: in "steps", "flops" and "seconds".
        reached: whether every run comes down to its baseline's final loss.
        bits_per: unit, such as "character".
        tokens_per_second: of training.
    """

    name: str
    baseline: str
    recorded: Mapping[str, Any]
    final_loss: Estimate
    gain: Estimate
    speedup: Mapping[str, Estimate]
    reached: bool
    bits_per: Mapping[str, Estimate]
    tokens_per_second: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """A folder of `results/`.

    Attributes:
        name: of the folder.
        folder: its path.
        recorded: results.json.
        exact_seconds: whether the curves hold each seed's seconds, not their mean alone.
        contestants: by name, in the order of the recipe.
    """

    name: str
    folder: Path
    recorded: Mapping[str, Any]
    exact_seconds: bool
    contestants: Mapping[str, Contestant]


def recompute(folder: Path) -> Comparison:
    """Compute a comparison's numbers again and check those that it recorded.

    Args:
        folder: with results.json.

    Returns:
        The comparison.

    Raises:
        UserError: if results.json is missing or damaged, or says something else than its curves;
            the message names the file, the number and both values.
    """
    results = load_results(folder)
    file = folder / "results.json"
    seeds, contestants = len(results["seeds"]), results["contestants"]
    clock, units = results.get("clock") or {}, _units_per_token(results)
    timed = clock.get("method") == "alternating steps"
    exact = timed or seeds == 1
    geometric = "geometric" in (results.get("statistics") or {}).values()
    for name, own in contestants.items():
        _check_curve(file, name, own, seeds)
        if timed:
            _check_seconds(file, name, own, clock["step_seconds"][name]["median"])
    tracks = {name: _tracks(own, seeds) for name, own in contestants.items()}
    computed = {}
    for name, own in contestants.items():
        baseline = own.get("baseline", "none")
        if baseline not in contestants:
            raise UserError(f"{file}: the baseline {baseline!r} of {name!r} is no contestant")
        pair = tracks[baseline], tracks[name]
        computed[name] = _compute(units, *pair)
        then = computed[name] | ({} if geometric else {"speedup": _arithmetic(*pair)})
        _check(file, f"contestants.{name}", own, then, exact)
        if not exact:
            computed[name]["speedup"]["seconds"] = own["speedup"]["seconds"]
    return Comparison(
        name=folder.name,
        folder=folder,
        recorded=results,
        exact_seconds=exact,
        contestants={
            name: _contestant(name, contestants[name], own) for name, own in computed.items()
        },
    )


def _tracks(contestant: Mapping[str, Any], num_seeds: int) -> list[Track]:
    curve, flops = contestant["curve"], contestant["flops_per_token"]
    return [
        Track(
            loss=[_number(point["losses"][index]) for point in curve],
            steps=[float(point["steps"]) for point in curve],
            tokens=[float(point["tokens"]) for point in curve],
            flops=[point["tokens"] * flops for point in curve],
            seconds=[_number(point["seconds"]) for point in curve],
        )
        for index in range(num_seeds)
    ]


def _compute(
    units_per_token: Mapping[str, float], baselines: list[Track], tracks: list[Track]
) -> dict[str, Any]:
    """What `summarize` writes of a contestant, from curves alone."""
    finals = [track.loss[-1] for track in tracks]
    return compare_tracks(baselines, tracks) | {
        "final_loss": dataclasses.asdict(estimate(finals)),
        "bits_per": {
            unit: dataclasses.asdict(estimate([loss / (math.log(2) * units) for loss in finals]))
            for unit, units in units_per_token.items()
        },
        "tokens_per_second": tracks[0].tokens[-1] / (tracks[0].seconds[-1] or math.nan),
    }


def _arithmetic(baselines: list[Track], tracks: list[Track]) -> dict[str, Any]:
    """Speed-ups as comparisons recorded them that do not say that their means are geometric."""
    return {
        measure: dataclasses.asdict(
            estimate(
                [
                    speedup((base.loss, getattr(base, measure)), (own.loss, getattr(own, measure)))
                    for base, own in zip(baselines, tracks, strict=True)
                ]
            )
        )
        for measure in MEASURES
    }


def _units_per_token(results: Mapping[str, Any]) -> dict[str, float]:
    corpus = results["corpus"]
    if "characters_per_token" in corpus:  # version 0.1 counted characters alone
        return {"character": corpus["characters_per_token"]}
    return dict(corpus.get("units_per_token") or {})


def _contestant(name: str, own: Mapping[str, Any], computed: Mapping[str, Any]) -> Contestant:
    return Contestant(
        name=name,
        baseline=own.get("baseline", "none"),
        recorded=own,
        final_loss=_estimate(computed["final_loss"]),
        gain=_estimate(computed["gain"]),
        speedup={key: _estimate(value) for key, value in computed["speedup"].items()},
        reached=computed["reached"],
        bits_per={unit: _estimate(value) for unit, value in computed["bits_per"].items()},
        tokens_per_second=_number(own["tokens_per_second"]),
    )


def _check_curve(file: Path, name: str, own: Mapping[str, Any], num_seeds: int) -> None:
    if not own["curve"]:
        raise UserError(f"{file}: contestants.{name} has no curve")
    for index, point in enumerate(own["curve"]):
        place = f"contestants.{name}.curve[{index}]"
        losses = [_number(loss) for loss in point["losses"]]
        if len(losses) != num_seeds:
            raise UserError(f"{file}: {place} has {len(losses)} losses for {num_seeds} seeds")
        _compare(file, f"{place}.loss", point["loss"], math.fsum(losses) / num_seeds)
        flops = point["tokens"] * own["flops_per_token"]
        _compare(file, f"{place}.flops", point["flops"], flops)


def _check_seconds(file: Path, name: str, own: Mapping[str, Any], step_seconds: float) -> None:
    for index, point in enumerate(own["curve"]):
        place = f"contestants.{name}.curve[{index}].seconds"
        _compare(file, place, point["seconds"], point["steps"] * step_seconds)


def _check(
    file: Path, place: str, own: Mapping[str, Any], computed: Mapping[str, Any], exact: bool
) -> None:
    for key in ("final_loss", "bits_per", "gain"):
        if key in own:  # comparisons of version 0.1 record no gain
            for inner, stored, value in _leaves(key, own[key], computed[key]):
                _compare(file, f"{place}.{inner}", stored, value)
    for measure, stored_speedup in own["speedup"].items():
        computed_speedup = computed["speedup"][measure]
        key = f"speedup.{measure}"
        if measure == "seconds" and not exact:
            means = stored_speedup["mean"], computed_speedup["mean"]
            _compare(file, f"{place}.{key}.mean", *means, LOOSE_SHARE)
            continue
        for inner, stored, value in _leaves(key, stored_speedup, computed_speedup):
            _compare(file, f"{place}.{inner}", stored, value)
    if own["reached"] != computed["reached"]:
        raise UserError(f"{file}: {place}.reached is {own['reached']}, the curves say otherwise")
    rates = own["tokens_per_second"], computed["tokens_per_second"]
    _compare(file, f"{place}.tokens_per_second", *rates, _ROUNDING if exact else LOOSE_SHARE)


def _leaves(key: str, stored: Any, computed: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(computed, Mapping) and isinstance(stored, Mapping):
        for inner, value in computed.items():
            yield from _leaves(f"{key}.{inner}", stored.get(inner), value)
    else:
        yield key, stored, computed


def _compare(file: Path, place: str, stored: Any, computed: Any, share: float = _ROUNDING) -> None:
    ours, theirs = _number(computed), _number(stored)
    both_missing = math.isnan(ours) and math.isnan(theirs)
    if not both_missing and not math.isclose(ours, theirs, rel_tol=share, abs_tol=_ROUNDING):
        within = "" if share == _ROUNDING else f" (may differ by {share:.0%})"
        raise UserError(
            f"{file}: {place} is {stored}, but its curves give {computed}{within}; run the "
            "comparison's command again instead of editing its results"
        )


def _number(value: Any) -> float:
    """JSON has null where a run diverged."""
    return float("nan") if value is None else float(value)


def _estimate(value: Mapping[str, Any]) -> Estimate:
    return Estimate(
        mean=_number(value["mean"]),
        low=None if value["low"] is None else float(value["low"]),
        high=None if value["high"] is None else float(value["high"]),
    )
