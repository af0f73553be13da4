"""The search for the plain decoder's settings."""

import dataclasses
import json
import math
import types

import pytest
import yaml

from latentwave.bench.comparison import Workers
from latentwave.bench.ladder import load_search, run_search
from latentwave.bench.ladder.search import applied, combinations
from latentwave.errors import UserError
from tests.bench.ladder.tiny_ladder import QUIET, values
from tests.processes import ROOT

SEARCHES = sorted((ROOT / "recipes").glob("baseline-search*.yaml"))
SECOND = {"training.batch_size", "backbone.qk_norm"}


@pytest.fixture
def search_of(text, tmp_path):
    """Loads a search from a YAML file with some changes."""

    def read(**changes):
        base = values(text)
        ends = {"num_steps": 4, "evaluate_every_steps": 4, "save_every_steps": 4}
        rates = {"training.learning_rate": [0.001, 0.1]}
        muon = {"training.optimizer": ["muon"], "training.muon_learning_rate": [0.01]}
        own = {name: base[name] for name in ("name", "corpus", "backbone")} | {
            "training": base["training"] | ends,
            "groups": [[rates, muon], [{"training.batch_size": [2]}, {"backbone.qk_norm": [True]}]],
            "finalists": 2,
            "final_seeds": [5],
        }
        path = tmp_path / "search.yaml"
        path.write_text(yaml.safe_dump(own | changes))
        return load_search(path)

    return read


def test_groups_build_on_the_best_so_far(search_of, store, tmp_path):
    search, folder = search_of(), tmp_path / "out"
    ranking = run_search(search, store, folder, console=QUIET)
    written = json.loads((folder / "search.json").read_text())
    tried = written["tried"]  # the best first
    assert len({json.dumps(each["setting"]) for each in tried}) == 5
    losses = [each["losses"]["1000"] for each in tried]
    assert losses == sorted(losses)
    first = next(each["setting"] for each in tried if not set(each["setting"]) & SECOND)
    for each in tried:
        if set(each["setting"]) & SECOND:
            assert first.items() <= each["setting"].items()
    assert [each["setting"] for each in written["finalists"]] == [each.setting for each in ranking]
    assert [list(each.losses) for each in ranking] == [["5"], ["5"]]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    run_search(search, store, folder, console=QUIET)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}


def test_finished_groups_are_written_when_a_later_one_fails(search_of, store, tmp_path):
    class Stopped(Workers):
        def run(self, jobs, *arguments):
            if len(jobs) == 2:  # the second group
                raise UserError("out of memory")
            super().run(jobs, *arguments)

    with pytest.raises(UserError, match="out of memory"):
        run_search(search_of(), store, tmp_path / "out", workers=Stopped(), console=QUIET)
    written = json.loads((tmp_path / "out" / "search.json").read_text())
    assert (len(written["tried"]), written["finalists"]) == (3, [])


def test_a_group_that_diverged_is_written_too(search_of, store, tmp_path, monkeypatch):
    diverged = types.SimpleNamespace(final_loss=math.nan)
    monkeypatch.setattr(Workers, "run", lambda *_: None)
    monkeypatch.setattr("latentwave.bench.ladder.search.read_result", lambda _: diverged)
    with pytest.raises(UserError, match="everything diverged in group 0"):
        run_search(search_of(), store, tmp_path, console=QUIET)
    written = json.loads((tmp_path / "search.json").read_text())
    assert [each["losses"] for each in written["tried"]] == [{"1000": None}] * 3


def test_another_batch_keeps_the_tokens(search_of):
    base = search_of().base
    halved = applied(base, {"training.batch_size": 2}).training
    assert (halved.num_steps, halved.batch_size) == (8, 2)
    assert base.training.num_steps * base.training.batch_size == 8 * 2
    cold = dataclasses.replace(base.training, num_warmup_steps=0)
    halved = applied(dataclasses.replace(base, training=cold), {"training.batch_size": 2})
    assert halved.training.num_warmup_steps == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [5]}, r"final_seeds must not be among seeds, got \[5\]"),
        ({"seeds": []}, "seeds must be distinct"),
        ({"seeds": 3}, "seeds: Input should be a valid list"),
        ({"finalists": 0}, "finalists must be >= 1, got 0"),
        ({"groups": []}, "no groups"),
        ({"groups": [{"training.learning_rate": [0.1]}]}, "groups.0.*: Input should be a valid"),
        ({"groups": [[{"training.learning_rate": 0.1}]]}, "groups.0.*: Input should be a valid"),
        ({"groups": [[{"training.learning_rate": []}]]}, r"groups\[0\] must be a list of grids"),
    ],
)
def test_malformed_searches_are_one_line(changes, message, search_of):
    with pytest.raises(UserError, match=message):
        search_of(**changes)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        *[
            (place, 8, f"{place} cannot be searched: losses at another")
            for place in ("training.num_steps", "backbone.context_length")
        ],
        *[
            (f"training.{name}", value, f"training.{name} cannot be searched: the search sets it")
            for name, value in [("save_every_steps", 4), ("tensorboard", True)]
        ],
        *[
            (place, 1, f"no {place!r} to search")
            for place in ("training.rate", "corpus.name", "name.x", "x")
        ],
        ("training.batch_size", 0, "training.batch_size must be >= 1, got 0"),
    ],
)
def test_settings_that_cannot_be_searched_are_refused_at_once(
    place, value, message, search_of, store, tmp_path
):
    search = search_of(groups=[[{place: [value]}]])
    with pytest.raises(UserError, match=message):
        run_search(search, store, tmp_path / "out", console=QUIET)


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_the_committed_searches_fit(path):
    search = load_search(path)
    assert all(
        applied(search.base, each) for group in search.groups for each in combinations(group)
    )
