"""One text, its store and one finished run that all tests of training share, unchanged."""

import shutil

import pytest
from rich.console import Console

from latentwave.bench.data import prepare
from latentwave.bench.training import ContestantConfig, train
from tests.tiny import tiny_recipe, write_text

QUIET = Console(quiet=True)
CONTESTANTS = {
    "none": ContestantConfig(),
    "wavelet": ContestantConfig(kind="wavelet"),
    "learnable": ContestantConfig(kind="learnable_wavelet"),
}


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text") / "words.txt")


@pytest.fixture(scope="session")
def store(text, tmp_path_factory):
    return prepare(tiny_recipe(text).corpus, tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="session")
def recipe_with(text):
    """Recipes on that text."""

    def make(contestants=None, **training):
        return tiny_recipe(text, contestants=contestants or CONTESTANTS, training=training)

    return make


@pytest.fixture(scope="session")
def run_one(recipe_with, store):
    """Runs on that text; `learnable` has mixers with parameters."""

    def run(folder, contestant="learnable", seed=0, *, resume=False, start_from=None, **training):
        recipe = recipe_with(**training)
        options = {"resume": resume, "console": QUIET, "start_from": start_from}
        return train(recipe, contestant, seed, store, folder, **options)

    return run


@pytest.fixture(scope="session")
def finished(run_one, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return folder, run_one(folder)


@pytest.fixture
def interrupted(finished, tmp_path):
    """The same run with two checkpoints and no end."""
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    shutil.rmtree(folder / "model")
    (folder / "result.json").unlink()
    return folder


def losses(result):
    return [(point.step, point.tokens, point.loss) for point in result.curve]
