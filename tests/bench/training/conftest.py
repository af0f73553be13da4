"""The text, token store and finished run that the tests of training share and leave unchanged."""

import dataclasses
import shutil
import warnings

import pytest
from rich.console import Console

from latentwave.bench.data import prepare
from latentwave.bench.training import ContestantConfig, train
from latentwave.errors import UserError
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
    """A function that makes recipes for that text."""

    def make(contestants=None, **training):
        return tiny_recipe(text, contestants=contestants or CONTESTANTS, training=training)

    return make


@pytest.fixture(scope="session")
def run_one(recipe_with, store):
    """A function that trains on that text; `learnable` has mixers with parameters."""

    def run(folder, contestant="learnable", seed=0, *, dropout=0.0, **training):
        options = {name: training.pop(name) for name in ("resume", "start_from") & training.keys()}
        recipe = recipe_with(**training)
        backbone = dataclasses.replace(recipe.backbone, dropout=dropout)
        recipe = dataclasses.replace(recipe, backbone=backbone)
        return train(recipe, contestant, seed, store, folder, console=QUIET, **options)

    return run


@pytest.fixture(scope="session")
def finished(run_one, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return folder, run_one(folder)


@pytest.fixture
def interrupted(finished, tmp_path):
    """A copy of the finished run with its two checkpoints but no model and no result."""
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    shutil.rmtree(folder / "model")
    (folder / "result.json").unlink()
    return folder


def losses(result):
    return [(point.step, point.tokens, point.loss) for point in result.curve]


def said_by(action):
    """The result of an action, or the message of its UserError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return action()
        except UserError as error:
            return str(error)
