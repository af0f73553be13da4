"""Made-up comparisons with the shape of real ones."""

import json
import math

from latentwave.bench.comparison import first_crossing
from latentwave.bench.comparison.results import Results

STEPS = list(range(0, 501, 25))
FLOPS_PER_STEP = 3.1e10
BASE = {"num_parameters": 1_208_448, "flops_per_token": 7_565_312.0, "tokens_per_second": 21_480.0}
ENVIRONMENT = {
    "versions": {"latentwave": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
    "cpu": "Example CPU 3.0 GHz",
    "cores": 2,
    "accelerator": None,
    "threads": 2,
    "commit": "0123abc",
    "platform": "Linux-6.1-x86_64",
}
# Final loss, rate of fall, extra parameters, FLOPs per token and speed against the baseline.
KINDS = {
    "none": (2.278, 90.0, 0, 1.0, 1.0),
    "wavelet": (1.892, 75.0, 0, 1.0004, 0.962),
    "ema": (1.945, 80.0, 640, 1.0008, 0.93),
    "learnable_wavelet": (1.962, 80.0, 5120, 1.002, 0.9),
    "short_conv": (1.976, 85.0, 2560, 1.001, 0.94),
    "filterbank": (1.93, 70.0, 4800, 3.4, 0.31),
}
# Thirty contestants, as a comparison of options has them.
MANY = {
    f"wavelet-option-{i}": (
        1.86 + 0.013 * ((7 * i) % 25),
        75.0 + i,
        100 * i,
        1 + 0.002 * i,
        0.97 - 0.004 * i,
    )
    for i in range(24)
}


def loss_at(step, final, rate, seed):
    start = 4.4
    fall = math.exp(-step / rate) * 0.75 + 0.25 * math.exp(-step / (3.2 * rate))
    rest = math.exp(-500 / rate) * 0.75 + 0.25 * math.exp(-500 / (3.2 * rate))
    wobble = 0.012 * math.sin(step / 31 + 2.1 * seed) * (1 - math.exp(-step / 100))
    return final + (start - final) * (fall - rest) / (1 - rest) + wobble + 0.008 * (seed - 0.5)


def spread(values):
    values = [v for v in values if v is not None]
    if not values:
        return {"mean": None, "low": None, "high": None}
    whole = len(values) > 1
    return {
        "mean": sum(values) / len(values),
        "low": min(values) if whole else None,
        "high": max(values) if whole else None,
    }


def typed(values):
    """The values of a results.json as the report is given them."""
    return Results.model_validate_json(json.dumps(values))


def make_results(*arguments, **options):
    return typed(make_values(*arguments, **options))


def make_values(names=("none", "wavelet"), seeds=(0, 1), finals=None):
    """A comparison with these contestants; `finals` overrides final losses."""
    kinds = KINDS | MANY
    runs = {}
    for name in names:
        final, rate, extra, flops, speed = kinds.get(name, KINDS["wavelet"])
        final = (finals or {}).get(name, final)
        losses = {seed: [loss_at(step, final, rate, seed) for step in STEPS] for seed in seeds}
        costs = {
            "steps": [1.0 * s for s in STEPS],
            "flops": [s * FLOPS_PER_STEP * flops for s in STEPS],
            "seconds": [s * 0.19 / speed for s in STEPS],
        }
        runs[name] = (losses, costs, extra, flops, speed)
    contestants = {}
    base_losses, base_costs, *_ = runs["none"]
    for name, (losses, costs, extra, flops, speed) in runs.items():
        speedup = {}
        for measure, xs in costs.items():
            ratios = []
            for seed in seeds:
                target = base_losses[seed][-1]
                mine = first_crossing(losses[seed], xs, target)
                ratios.append(base_costs[measure][-1] / mine if mine else None)
            speedup[measure] = spread(ratios) if None not in ratios else spread([])
        if name == "none":
            one = {"mean": 1.0, "low": None, "high": None}
            speedup = {measure: dict(one) for measure in costs}
        ends = [losses[seed][-1] for seed in seeds]
        contestants[name] = {
            "mixers": []
            if name == "none"
            else [{"kind": name, "options": {"fraction": 0.5}, "points": ["block"]}],
            "num_parameters": BASE["num_parameters"] + extra,
            "num_mixer_parameters": extra,
            "flops_per_token": BASE["flops_per_token"] * flops,
            "backbone": {},
            "baseline": "none",
            "learning_rate": 0.001,
            "num_steps": STEPS[-1],
            "peak_memory_bytes": round(7e6 * flops),
            "decoding": {
                "flops_per_token": BASE["flops_per_token"] * flops / 3,
                "cache_bytes": 524_288 + 10 * extra,
                "mixer_state_bytes": 10 * extra,
            },
            "gain": spread([base_losses[s][-1] - losses[s][-1] for s in seeds]),
            "tokens_per_second": BASE["tokens_per_second"] * speed,
            "final_loss": spread(ends),
            "bits_per": {"character": spread([end / math.log(2) for end in ends])},
            "metrics": {},
            "curve": [
                {
                    "steps": step,
                    "tokens": step * 4096,
                    "flops": costs["flops"][i],
                    "seconds": costs["seconds"][i],
                    "loss": sum(losses[seed][i] for seed in seeds) / len(seeds),
                    "losses": [losses[seed][i] for seed in seeds],
                }
                for i, step in enumerate(STEPS)
            ],
            "speedup": speedup,
            "reached": speedup["steps"]["mean"] is not None,
        }
    return {
        "recipe": {
            "name": "demo",
            "model": {"num_layers": 6, "channels": 128, "context_length": 256},
            "training": {"num_steps": 500, "batch_size": 16, "learning_rate": 0.001},
            "contestants": {n: {"mixers": c["mixers"]} for n, c in contestants.items()},
        },
        "environment": ENVIRONMENT,
        "commits": ["0123abc"],
        "corpus": {
            "name": "python-prose",
            "num_tokens": 2_104_773,
            "vocab_size": 97,
            "tokenizer": "characters",
            "units_per_token": {"character": 1.0},
            "num_classes": None,
            "sha256": "ab" * 32,
            "provenance": {
                "sources": [
                    {"name": f"{name}.txt", "num_bytes": 12, "sha256": "cd" * 32} for name in "ab"
                ],
                "num_sources": 2,
                "num_source_bytes": 24,
                "num_skipped_files": 0,
                "python_version": "3.11.7",
            },
        },
        "task": "language-model",
        "loss_unit": "token",
        "metrics_split": None,
        "command": "latentwave compare recipes/demo.yaml --output runs/demo",
        "seeds": list(seeds),
        "budget": "tokens",
        "clock": {
            "environment": ENVIRONMENT,
            "rounds": 7,
            "busy_cores": 0.02,
            "step_seconds": {
                name: {
                    "median": 0.19 / run[-1],
                    "shortest": 0.18 / run[-1],
                    "longest": 0.2 / run[-1],
                }
                for name, run in runs.items()
            },
        },
        "tuning": {},
        "contestants": contestants,
    }
