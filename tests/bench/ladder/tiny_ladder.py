"""A ladder of two tiny sizes."""

import yaml
from rich.console import Console

from latentwave.bench.ladder.recipe import LadderRecipe
from latentwave.bench.training.recipe import config_from_dict

QUIET = Console(quiet=True)


def recipe_of(text, **changes):
    return config_from_dict(LadderRecipe, values(text, **changes), "the recipe")


def values(text, **changes):
    return {
        "name": "tiny",
        "corpus": {"name": "text", "path": str(text)},
        "backbone": {
            "architecture": "llama",
            "num_layers": 1,
            "num_heads": 2,
            "context_length": 16,
            "hidden_size": 8,
            "intermediate_size": 16,
        },
        "training": {
            "batch_size": 4,
            "num_warmup_steps": 2,
            "num_evaluation_windows": 8,
            "learning_rate": 0.01,
        },
        "contestants": {"none": {}, "it": {"kind": "short_conv", "points": ["mlp"]}},
        "sizes": {"s": {}, "m": {"seeds": [1], "backbone": {"hidden_size": 16}, "budgets": [1, 2]}},
        "budgets": [1, 2, 4],
        "search": {"factors": [0.5, 1.0], "budget": 1, "sizes": ["s"]},
    } | changes


def write_recipe(folder, text):
    """The YAML file of the ladder."""
    path = folder / "ladder.yaml"
    path.write_text(yaml.safe_dump(values(text), sort_keys=False))
    return path


def losses(results):
    return {(p.size, p.contestant, p.seed, p.budget): p.loss for p in results.points}
