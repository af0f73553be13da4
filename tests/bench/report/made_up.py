"""Made-up comparisons with the shape of real ones."""

import functools
import json
import math

from matplotlib.figure import Figure

from latentwave.bench.comparison.results import Results
from tests.bench.comparison.made_up import cost, evaluation, results_of

STEPS = list(range(0, 501, 25))
# Final loss, rate of fall, extra parameters, FLOPs per token and speed against the baseline.
KINDS = {
    "none": (2.278, 90.0, 0, 1.0, 1.0),
    "wavelet": (1.892, 75.0, 0, 1.0004, 0.962),
    "ema": (1.945, 80.0, 640, 1.0008, 0.93),
    "learnable_wavelet": (1.962, 80.0, 5120, 1.002, 0.9),
    "short_conv": (1.976, 85.0, 2560, 1.001, 0.94),
    "filterbank": (1.93, 70.0, 4800, 3.4, 0.31),
}
# As many contestants as a comparison of options has.
MANY = {
    f"wavelet-option-{i}": (final, 75.0 + i, 100 * i, 1 + 0.002 * i, 0.97 - 0.004 * i)
    for i, final in enumerate(1.86 + 0.013 * ((7 * i) % 25) for i in range(24))
}


def loss_at(step, final, rate, seed):
    fall, rest = (
        math.exp(-s / rate) * 0.75 + 0.25 * math.exp(-s / (3.2 * rate)) for s in (step, 500)
    )
    wobble = 0.012 * math.sin(step / 31 + 2.1 * seed) * (1 - math.exp(-step / 100))
    return final + (4.4 - final) * (fall - rest) / (1 - rest) + wobble + 0.008 * (seed - 0.5)


def drawn(chart):
    axes = Figure().subplots()
    chart.draw(axes)
    return axes


def typed(values):
    """The values of a results.json as the report receives them."""
    return Results.model_validate_json(json.dumps(values))


def make_results(*arguments, **options):
    return typed(make_values(*arguments, **options))


def make_values(names=("none", "wavelet"), seeds=(0, 1), finals=None, timed=True):
    """A comparison of these contestants; `finals` overrides final losses."""
    values = json.loads(_made_up(tuple(names), tuple(seeds), tuple((finals or {}).items())))
    if not timed:
        for contestant in values["contestants"].values():
            for point in contestant["curve"]:
                point["seconds"] = None
    return values


def renamed(name):
    """A comparison whose wavelet has this name."""
    values = make_values()
    for named in (values["contestants"], values["clock"]["step_seconds"]):
        named[name] = named.pop("wavelet")
    return values


@functools.cache
def _made_up(names, seeds, finals):
    kinds = {name: (KINDS | MANY).get(name, KINDS["wavelet"]) for name in names}
    kinds |= {name: (final, *kinds[name][1:]) for name, final in finals if name in kinds}
    curves = {}
    for name, (final, rate, _, flops, speed) in kinds.items():
        spent = {"tokens": 4096, "flops": flops, "seconds": 0.19 / speed}
        losses = {step: [loss_at(step, final, rate, seed) for seed in seeds] for step in STEPS}
        curves[name] = [evaluation(step, each, **spent) for step, each in losses.items()]
    costs = {name: cost(flops, extra) for name, (_, _, extra, flops, _) in kinds.items()}
    step_seconds = {name: 1 / speed for name, (*_, speed) in kinds.items()}
    return results_of(curves, costs, step_seconds, seeds=list(seeds)).model_dump_json()
