"""Tiny finished runs for tests that inspect models."""

import numpy as np
from rich.console import Console

from latentwave.bench.data import prepare
from latentwave.bench.inspection import InspectedRun, inspect_runs
from latentwave.bench.training import ContestantConfig, load_run, train
from tests.tiny import tiny_backbone, tiny_recipe, write_text

CONTESTANTS = {
    "none": ContestantConfig(),
    "wavelet": ContestantConfig(kind="wavelet"),
    "adaptive": ContestantConfig(
        kind="adaptive_filterbank",
        options={"num_filters": 6, "kernel_sizes": [4, 8], "init": "fourier", "mask_width": 8},
    ),
}
# Must stay text wherever it is shown.
HOSTILE = '<b>&amp;</script><img src=x onerror="alert(1)">{{ 7 * 7 }}'


def train_runs(folder, *contestants):
    """Train runs named by their contestants, on a text with hostile characters."""
    text = write_text(folder / "words.txt")
    text.write_text(text.read_text() + (HOSTILE + " ") * 40)
    recipe = tiny_recipe(
        text,
        contestants=CONTESTANTS,
        backbone=tiny_backbone(num_layers=3),
        training={"num_steps": 6, "learning_rate": 0.02, "save_every_steps": 6},
    )
    store = prepare(recipe.corpus, folder / "store")
    for name in contestants:
        train(recipe, name, 0, store, folder / name, console=Console(quiet=True))
    return store


def look_into(folder, store, *names, **options):
    """Inspect some of those runs."""
    runs = []
    for name in names:
        model, codec = load_run(folder / name)
        runs.append(InspectedRun(name=name, folder=folder / name, model=model, codec=codec))
    return inspect_runs(runs, store, **({"num_windows": 9} | options))


def tokens_of(store, text):
    return np.asarray(store.codec.encode_prompt(text))
