"""An experiment and its comparison, shared by all tests and never changed."""

import pytest
from rich.console import Console

from latentwave.bench.comparison import compare
from latentwave.bench.data import prepare
from tests.tiny import tiny_recipe, write_text

QUIET = Console(quiet=True)


@pytest.fixture(scope="session")
def experiment(tmp_path_factory):
    base = tmp_path_factory.mktemp("experiment")
    recipe = tiny_recipe(write_text(base / "words.txt"), seeds=[0, 1])
    return recipe, prepare(recipe.corpus, base / "store")


@pytest.fixture(scope="session")
def compared(experiment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared") / "out"
    results = compare(*experiment, folder, command="latentwave compare x", console=QUIET)
    return *experiment, folder, results
