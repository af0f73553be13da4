import pytest

from latentwave.bench.data import prepare
from latentwave.bench.ladder import Ladder, run_ladder
from tests.bench.ladder.tiny_ladder import QUIET, recipe_of
from tests.tiny import write_text


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text") / "words.txt")


@pytest.fixture(scope="session")
def store(text, tmp_path_factory):
    return prepare(recipe_of(text).corpus, tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="session")
def finished(text, store, tmp_path_factory):
    ladder = Ladder(recipe_of(text), store, tmp_path_factory.mktemp("l") / "ladder")
    assert run_ladder(ladder, store, console=QUIET) == 0
    return ladder
