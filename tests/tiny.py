"""A recipe that trains in seconds, and text with something to learn."""

import random

from latentwave.bench.data import CorpusConfig
from latentwave.bench.training import BackboneConfig, ContestantConfig, Recipe, TrainingConfig

WORDS = ["wave", "signal", "token", "filter", "level", "causal", "window", "mask", "path", "layer"]


def write_text(path, num_words=4000, seed=0):
    rng = random.Random(seed)
    path.write_text(" ".join(rng.choice(WORDS) for _ in range(num_words)) + "\n")
    return path


def tiny_backbone(**changes):
    sizes = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
    return BackboneConfig(**sizes | {"context_length": 32} | changes)


def tiny_recipe(text, **changes):
    training = {
        "num_steps": 8,
        "batch_size": 4,
        "num_warmup_steps": 2,
        "evaluate_every_steps": 2,
        "num_evaluation_windows": 8,
        "save_every_steps": 4,
    } | changes.pop("training", {})
    return Recipe(
        **{
            "name": "tiny",
            "corpus": CorpusConfig(name="text", path=str(text)),
            "backbone": tiny_backbone(),
            "contestants": {
                "none": ContestantConfig(),
                "wavelet": ContestantConfig(kind="wavelet"),
            },
            "training": TrainingConfig(**training),
            "seeds": [0],
        }
        | changes
    )
