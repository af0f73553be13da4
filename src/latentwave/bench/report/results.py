"""Read and check the `results.json` of a comparison."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentwave.bench.report.older import fill_in, rename_old
from latentwave.bench.training import BASELINE
from latentwave.errors import UserError

MEASURES = ("steps", "flops", "seconds")
METRICS = {"accuracy": "accuracy", "map": "mAP"}


@dataclass(frozen=True)
class _Maybe:
    """What a value must be unless it is null or lacks."""

    wanted: Any


@dataclass(frozen=True)
class _Each:
    """What all values of a dict must be, whatever its keys."""

    wanted: Any


# What must be there: a dict names keys, a list holds one kind of item, a tuple lists types.
_REAL = (int, float)
_NUMBER = (*_REAL, type(None))
_ESTIMATE = {"mean": _NUMBER, "low": _NUMBER, "high": _NUMBER}
_CONTESTANT = {
    "mixer": (dict, type(None)),
    "num_parameters": _NUMBER,
    "num_mixer_parameters": _NUMBER,
    "flops_per_token": _NUMBER,
    "tokens_per_second": _NUMBER,
    "final_loss": _ESTIMATE,
    "bits_per": (dict,),
    "metrics": (dict,),
    "curve": [
        dict.fromkeys(MEASURES, _NUMBER)
        | {"tokens": _Maybe(_REAL), "loss": _NUMBER, "losses": [_NUMBER]}
    ],
    "speedup": dict.fromkeys(MEASURES, _ESTIMATE),
    "reached": (bool,),
}
_MIXER = {"options": _Maybe({}), "points": _Maybe([(str,)])}
# What results of before lack, see `fill_in`.
_SINCE_BUDGETS = {
    "budget": (str,),
    "clock": {
        "method": (str,),
        "busy_cores": _Maybe(_REAL),
        "step_seconds": _Maybe(_Each(dict.fromkeys(("median", "shortest", "longest"), _REAL))),
    },
    "tuning": _Maybe(_Each({"losses": _Each(_NUMBER), "chosen": _REAL, "at_end_of_grid": (bool,)})),
    "statistics": (dict,),
}
_ALTERNATING = {"rounds": _REAL}
_CONTESTANT_SINCE_BUDGETS = {
    "baseline": (str,),
    "backbone": (dict,),
    "learning_rate": _NUMBER,
    "num_steps": _NUMBER,
    "gain": _ESTIMATE,
    "memory": _Maybe({"peak_training_bytes": _Maybe(_REAL)}),
    "decoding": _Maybe(
        dict.fromkeys(("flops_per_token", "cache_bytes", "mixer_state_bytes"), _Maybe(_REAL))
    ),
}
_RESULTS = {
    "recipe": {"name": (str,), "training": _Maybe({})},
    "environment": {"versions": (dict,)},
    "corpus": {
        "name": (str,),
        "num_tokens": _NUMBER,
        "vocab_size": _NUMBER,
        "units_per_token": _Maybe(_Each(_REAL)),
    },
    "command": (str,),
    "seeds": [_NUMBER],
    "contestants": (dict,),
}


def load_results(path: str | Path) -> dict[str, Any]:
    """Read the results of a comparison and check that all is there that a report needs.

    NaN and infinities, which a diverged run may leave, become None: "not measured".

    Args:
        path: `results.json`, or the folder that holds it.

    Returns:
        The results as written, losses in nats per token, or per document of classifiers.

    Raises:
        UserError: if the file is missing, is not JSON, or lacks a key, which the message names.

    Example:
        >>> load_results("nowhere")
        Traceback (most recent call last):
        ...
        latentwave.errors.UserError: there is no results file 'nowhere'; give the folder of a \
finished comparison or its results.json
    """
    file = Path(path)
    if file.is_dir():
        file = file / "results.json"
    try:
        text = file.read_text(encoding="utf-8")
        results = json.loads(text, parse_constant=lambda _: None)
    except FileNotFoundError:
        raise UserError(
            f"there is no results file {str(file)!r}; "
            "give the folder of a finished comparison or its results.json"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read the results file {str(file)!r}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(
            f"{str(file)!r} is not JSON ({error}); run the comparison again to write it anew"
        ) from error
    rename_old(results)
    _check_results(results, str(file))
    return dict(results)


def estimate(value: dict[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Mean, low and high of an estimate; an interval that is not whole counts as none."""
    mean, low, high = (
        None if value[key] is None else float(value[key]) for key in ("mean", "low", "high")
    )
    whole = low is not None and high is not None
    return mean, low if whole else None, high if whole else None


def others(results: dict[str, Any]) -> list[str]:
    """The contestants beside the baseline, in their order."""
    return [name for name in results["contestants"] if name != BASELINE]


def loss_unit(results: dict[str, Any]) -> str:
    """What losses are means over: "token", or "document" where documents are classified."""
    return str(results.get("loss_unit", "token"))


def shown_metrics(results: dict[str, Any]) -> dict[str, str]:
    """The metrics of a comparison of classifiers, with the words for them."""
    measured = results["contestants"][BASELINE]["metrics"]
    return {name: words for name, words in METRICS.items() if name in measured}


def _check_results(results: Any, file: str) -> None:
    _check(results, _RESULTS, "", file)
    if not results["seeds"]:
        raise UserError(f"{file!r} is of a comparison without seeds; run it again")
    if BASELINE not in results["contestants"]:
        found = ", ".join(map(repr, results["contestants"])) or "no contestant"
        raise UserError(
            f"{file!r} has no baseline: its contestants must include {BASELINE!r}, found {found}"
        )
    for name, contestant in results["contestants"].items():
        _check(contestant, _CONTESTANT, f"contestants.{name}", file)
        _check(contestant["mixer"] or {}, _MIXER, f"contestants.{name}.mixer", file)
        units = dict.fromkeys(results["contestants"][BASELINE]["bits_per"], _ESTIMATE)
        _check(contestant["bits_per"], units, f"contestants.{name}.bits_per", file)
        metrics = dict.fromkeys(results["contestants"][BASELINE]["metrics"], _ESTIMATE)
        _check(contestant["metrics"], metrics, f"contestants.{name}.metrics", file)
    fill_in(results)
    _check(results, _SINCE_BUDGETS, "", file)
    if results["clock"]["method"] == "alternating steps":
        _check(results["clock"], _ALTERNATING, "clock", file)
    for name, contestant in results["contestants"].items():
        _check(contestant, _CONTESTANT_SINCE_BUDGETS, f"contestants.{name}", file)
        if contestant["baseline"] not in results["contestants"]:
            raise UserError(
                f"{file!r} has no contestant {contestant['baseline']!r}, which {name!r} is "
                "measured against; run the comparison again with it"
            )


def _check(value: Any, wanted: Any, path: str, file: str) -> None:
    if isinstance(wanted, _Each):
        wanted = dict.fromkeys(value, wanted.wanted) if isinstance(value, dict) else {}
    types = wanted if isinstance(wanted, tuple) else (type(wanted),)
    if not isinstance(value, types):
        names = " or ".join("null" if t is type(None) else t.__name__ for t in types)
        raise UserError(
            f"{file!r} is not the results of a comparison: {path or 'the whole file'} "
            f"must be {names}, got {value!r:.60}"
        )
    if isinstance(wanted, dict):
        for key, inner in wanted.items():
            inside = f"{path}.{key}" if path else key
            if isinstance(inner, _Maybe):
                if value.get(key) is not None:
                    _check(value[key], inner.wanted, inside, file)
            elif key not in value:
                raise UserError(f"{file!r} is not the results of a comparison: it lacks {inside!r}")
            else:
                _check(value[key], inner, inside, file)
    elif isinstance(wanted, list):
        for index, item in enumerate(value):
            _check(item, wanted[0], f"{path}[{index}]", file)
