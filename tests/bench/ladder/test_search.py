"""The search for the plain decoder's settings."""

import json

import pytest
import yaml
from rich.console import Console

from latentwave.bench.comparison import Workers
from latentwave.bench.data import prepare
from latentwave.bench.ladder import load_search, run_search
from latentwave.bench.ladder.search import applied, combinations
from latentwave.errors import UserError
from tests.bench.ladder.test_ladder import values
from tests.processes import ROOT
from tests.tiny import write_text

QUIET = Console(quiet=True)
SEARCHES = sorted((ROOT / "recipes").glob("baseline-search*.yaml"))


def recipe(tmp_path, **changes):
    base = values(write_text(tmp_path / "words.txt"))
    training = base["training"] | {"num_steps": 4, "evaluate_every_steps": 4, "save_every_steps": 4}
    own = (
        {name: base[name] for name in ("name", "corpus", "backbone")}
        | {
            "training": training,
            "groups": [
                [
                    {"training.learning_rate": [0.001, 0.1]},
                    {"training.optimizer": ["muon"], "training.muon_learning_rate": [0.01]},
                ],
                [{"training.batch_size": [2]}, {"backbone.qk_norm": [True]}],
            ],
            "finalists": 2,
            "final_seeds": [5],
        }
        | changes
    )
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump(own))
    return path


def test_groups_build_on_the_best_so_far(tmp_path):
    search = load_search(recipe(tmp_path))
    store = prepare(search.base.corpus, tmp_path / "store")
    ranking = run_search(search, store, tmp_path / "out", console=QUIET)
    written = json.loads((tmp_path / "out" / "search.json").read_text())
    tried = {json.dumps(each["setting"]): each["losses"]["1000"] for each in written["tried"]}
    assert len(tried) == 5
    first = min(
        (each for each in written["tried"] if not set(each["setting"]) & SECOND),
        key=lambda each: each["losses"]["1000"],
    )
    for each in written["tried"]:
        if set(each["setting"]) & SECOND:
            assert first["setting"].items() <= each["setting"].items()
    assert [each["setting"] for each in written["finalists"]] == [each.setting for each in ranking]
    assert [list(each.losses) for each in ranking] == [["5"], ["5"]]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("result.json")}
    run_search(search, store, tmp_path / "out", console=QUIET)
    assert before == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("result.json")
    }


def test_what_ended_is_written_when_a_later_group_fails(tmp_path):
    search = load_search(recipe(tmp_path))
    store = prepare(search.base.corpus, tmp_path / "store")

    class Stopped(Workers):
        def run(self, jobs, *arguments):
            if len(jobs) == 2:  # the second group
                raise UserError("out of memory")
            super().run(jobs, *arguments)

    with pytest.raises(UserError, match="out of memory"):
        run_search(search, store, tmp_path / "out", workers=Stopped(), console=QUIET)
    written = json.loads((tmp_path / "out" / "search.json").read_text())
    assert (len(written["tried"]), written["finalists"]) == (3, [])


SECOND = {"training.batch_size", "backbone.qk_norm"}


def test_another_batch_keeps_the_tokens(tmp_path):
    base = load_search(recipe(tmp_path)).base
    halved = applied(base, {"training.batch_size": 2}).training
    assert (halved.num_steps, halved.batch_size) == (8, 2)
    assert base.training.num_steps * base.training.batch_size == 8 * 2


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
def test_malformed_searches_are_one_line(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load_search(recipe(tmp_path, **changes))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        *[
            (place, 8, f"{place} cannot be searched: losses of other")
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
def test_what_cannot_be_searched_is_refused_at_once(place, value, message, store, tmp_path):
    search = load_search(recipe(tmp_path, groups=[[{place: [value]}]]))
    with pytest.raises(UserError, match=message):
        run_search(search, store, tmp_path / "out", console=QUIET)


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_the_committed_searches_fit(path):
    search = load_search(path)
    assert all(
        applied(search.base, each) for group in search.groups for each in combinations(group)
    )
