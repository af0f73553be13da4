"""Made-up comparisons, typed as real ones."""

import json

from latentwave.bench.comparison.results import Evaluation, Results
from latentwave.bench.comparison.summary import derive

UNITS = {"character": 1.0}
ENVIRONMENT = {
    "versions": {"latentwave": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
    "cpu": "Example CPU",
    "cores": 2,
    "accelerator": None,
    "threads": 2,
    "platform": "Linux-6.1-x86_64",
    "commit": "0123abc456def",
}
SOURCES = [{"name": f"{name}.txt", "num_bytes": 12, "sha256": "cd" * 32} for name in "ab"]


def results_of(curves, costs, step_seconds, **changes):
    """A comparison with these curves by contestant, and these fields of their costs."""
    contestants = {
        name: {
            "mixers": [] if name == "none" else [mixer(name)],
            "learning_rate": 1e-3,
            "num_steps": curve[-1].steps,
            "curve": curve,
            **derive(curve, curves["none"], UNITS),
            **costs[name],
        }
        for name, curve in curves.items()
    }
    training = {"num_steps": curves["none"][-1].steps, "learning_rate": 1e-3}
    fields = {
        "recipe": {"name": "made-up", "model": {"num_layers": 6}, "training": training},
        "budget": "tokens",
        "environment": ENVIRONMENT,
        "commits": ["0123abc456def"],
        "clock": {
            "rounds": 7,
            "busy_cores": 0.02,
            "environment": ENVIRONMENT,
            "step_seconds": {
                name: {"median": 0.19 * s, "shortest": 0.18 * s, "longest": 0.2 * s}
                for name, s in step_seconds.items()
            },
        },
        "corpus": {
            "name": "text",
            "num_tokens": 2_104_773,
            "vocab_size": 97,
            "tokenizer": "characters",
            "units_per_token": UNITS,
            "num_classes": None,
            "sha256": "ab" * 32,
            "provenance": {
                "sources": SOURCES,
                "num_sources": 2,
                "num_source_bytes": 24,
                "num_skipped_files": 0,
                "python_version": "3.11.7",
            },
        },
        "task": "language-model",
        "loss_unit": "token",
        "metrics_split": None,
        "seeds": list(range(len(curves["none"][0].losses))),
        "command": "latentwave compare recipes/made-up.yaml",
        "contestants": contestants,
    }
    return Results.model_validate(fields | changes)


def edited(results, path, value):
    """The values of a results.json with another one in one place, or none where it is `...`."""
    values = inner = json.loads(results.model_dump_json())
    *keys, last = path
    for key in keys:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return values


def mixer(kind):
    return {"kind": kind, "options": {"fraction": 0.5}, "points": ["block"]}


def cost(flops=1.0, extra=0):
    """Of a contestant with so many times the baseline's FLOPs and more parameters."""
    return {
        "num_parameters": 1_208_448 + extra,
        "num_mixer_parameters": extra,
        "flops_per_token": 7_565_312.0 * flops,
        "peak_memory_bytes": round(7e6 * flops),
        "decoding": {
            "flops_per_token": 7_565_312.0 * flops / 3,
            "cache_bytes": 524_288 + 10 * extra,
            "mixer_state_bytes": 10 * extra,
        },
    }


def evaluation(step, losses, *, tokens=64, flops=1.0, seconds=0.19):
    """All seeds after a step, which has so many tokens and takes so many seconds."""
    return Evaluation(
        steps=step,
        tokens=tokens * step,
        flops=tokens * step * 7_565_312.0 * flops,
        seconds=step * seconds,
        loss=None if None in losses else sum(losses) / len(losses),
        losses=losses,
    )


def made_up_results(finals, steps=(0, 100, 200, 300, 400), **changes):
    """Curves that fall on a straight line from 4 nats to each seed's final loss.

    A final loss of None is that of a run that diverged.
    """

    def loss(final, step):
        if final is None:
            return None if step == steps[-1] else 4.0
        return 4 + (final - 4) * step / steps[-1]

    curves = {
        name: [evaluation(step, [loss(final, step) for final in own]) for step in steps]
        for name, own in finals.items()
    }
    return results_of(curves, dict.fromkeys(finals, cost()), dict.fromkeys(finals, 1.0), **changes)
