"""A ladder's search for learning rates."""

import math
import shutil

import pytest

from latentwave.bench import report
from latentwave.bench.ladder import Ladder, assemble, run_ladder
from latentwave.bench.ladder.recipe import Cell
from latentwave.bench.ladder.units import Unit
from tests.bench.ladder.tiny_ladder import QUIET, recipe_of, values


def test_a_search_is_widened_while_its_best_factor_is_at_an_end(finished, store, text, tmp_path):
    folder = tmp_path / "ladder"
    shutil.copytree(finished.folder, folder)
    for run in folder.glob("*/*/*/seed[01]"):
        shutil.rmtree(run)
    wider = values(text)["search"] | {"widen": 2}
    ladder = Ladder(recipe_of(text, search=wider), store, folder)
    assert ladder.num_left(ladder.cells(["s"])) == 4
    assert run_ladder(ladder, store, resume=True, only=["s"], console=QUIET) == 0
    for search in assemble(ladder, store).searches:
        losses = {float(factor): loss for factor, loss in search.losses.items()}
        assert losses.keys() > {0.5, 1.0}
        best = min(losses, key=losses.get)
        assert search.chosen == best
        at_end = best in (min(losses), max(losses))
        assert search.at_end_of_grid == at_end
        assert len(losses) == 4 or not at_end
        cell = Cell(search.setting, search.size, search.contestant)
        assert ladder.units(cell)[0].runs[0][1].training.learning_rate == 0.01 * best
    again = Ladder(recipe_of(text, search=wider), store, folder)
    assert again.num_left(again.cells(["s"])) == 0


def test_each_budget_is_searched_and_widened_on_its_own(store, text, tmp_path, monkeypatch):
    def losses(unit):  # best at a factor of 4 ÷ budget
        return {b: (math.log2(unit.factor) - math.log2(4 / b)) ** 2 for b in unit.budgets}

    monkeypatch.setattr(Unit, "losses", losses)
    monkeypatch.setattr(Unit, "is_finished", lambda unit: True)
    search = {"factors": [0.5, 1.0], "sizes": ["s"], "widen": 2}
    sizes = values(text)["sizes"] | {"s": {"seeds": [0, 1]}}
    sizes["m"] |= {"budgets": [1, 2, 8]}
    ladder = Ladder(recipe_of(text, search=search, sizes=sizes), store, tmp_path / "ladder")
    small, middle = (Cell("strong", size, "it") for size in ("s", "m"))
    assert [(unit.factor, unit.budgets) for unit in ladder.searches[small]] == [
        (0.5, [1, 2, 4]),
        (1, [1, 2, 4]),
        (2, [1, 2, 4]),  # where 1 was the best one, at an end
        (4, [1, 2]),  # where 2 was; and 1 would be wider than allowed
    ]
    assert ladder.factors(small) == {1: 4, 2: 2, 4: 1}
    assert ladder.factors(middle) == {1: 4, 2: 2, 8: 1}  # of the nearest budget
    trained = [(unit.seed, unit.factor, unit.budgets) for unit in ladder.units(small)]
    assert trained == [(seed, *own) for seed in (0, 1) for own in [(1, [4]), (2, [2]), (4, [1])]]
    for unit in ladder.units(small):
        (trunk, own, _), (branch, _, start) = unit.runs
        assert (trunk, branch) == ("trunk", f"branch-{unit.budgets[0]:g}")
        assert (own.training.num_steps, own.training.save_at_steps) == (start, [])
        assert own.training.learning_rate == 0.01 * unit.factor


def test_an_added_budget_hides_nothing_that_was_searched_before(store, text, tmp_path, monkeypatch):
    ended = {1, 2}

    def losses(unit):  # best at a factor of 4
        return {b: (math.log2(unit.factor) - 2) ** 2 for b in unit.budgets if b in ended}

    monkeypatch.setattr(Unit, "losses", losses)
    monkeypatch.setattr(Unit, "is_finished", lambda unit: ended >= {*unit.budgets})
    search = {"factors": [0.5, 1.0], "sizes": ["s"], "widen": 3}
    ladder = Ladder(recipe_of(text, search=search), store, tmp_path / "ladder")
    small, middle = (Cell("strong", size, "it") for size in ("s", "m"))
    wider = [(0.5, [1, 2, 4]), (1, [1, 2, 4]), (2, [1, 2]), (4, [1, 2]), (8, [1, 2])]
    assert [(unit.factor, unit.budgets) for unit in ladder.searches[small]] == wider
    assert ladder.factors(small) == ladder.factors(middle) == {1: 4, 2: 4}
    assert not ladder.is_searched(small)
    assert ladder.widen(small) == []
    assert len(ladder.unfinished_searches([small])) == 2

    ended.add(4)  # and the wider runs go on to it, in turn
    for factor in (2, 4, 8):
        (unit,) = ladder.widen(small)
        assert (unit.factor, unit.budgets) == (factor, [1, 2, 4])
    assert ladder.widen(small) == []
    assert ladder.factors(small) == {1: 4, 2: 4, 4: 4}
    again = Ladder(recipe_of(text, search=search), store, tmp_path / "ladder")
    assert again.searches[small] == ladder.searches[small]


def test_nothing_is_reported_before_its_search_has_ended(finished, store, text, tmp_path):
    folder = tmp_path / "ladder"
    shutil.copytree(finished.folder, folder)
    (chosen,) = set(finished.factors(Cell("strong", "s", "it")).values())
    unsearched = {"factors": [chosen, 4 * chosen], "budget": 1, "sizes": ["s"]}
    results = assemble(Ladder(recipe_of(text, search=unsearched), store, folder), store)
    assert not results.points
    assert not results.searches


def test_a_search_that_diverges_everywhere_leaves_the_lowest_factor(
    store, text, tmp_path, monkeypatch
):
    monkeypatch.setattr(Unit, "losses", lambda unit: dict.fromkeys(unit.budgets, math.nan))
    monkeypatch.setattr(Unit, "is_finished", lambda unit: True)
    search = {"factors": [0.5, 1.0], "sizes": ["s"], "widen": 1}
    ladder = Ladder(recipe_of(text, search=search), store, tmp_path / "ladder")
    assert set(ladder.factors(Cell("strong", "s", "it")).values()) == {0.25}
    assert ladder.num_left(ladder.cells(["s"])) == 0


@pytest.mark.slow
def test_a_search_at_each_budget_ends_in_points_at_their_factors(store, text, tmp_path):
    changes = {"search": {"factors": [0.5, 4.0]}, "contestants": {"none": {}}}
    ladder = Ladder(recipe_of(text, **changes), store, tmp_path / "ladder")
    assert run_ladder(ladder, store, console=QUIET) == 0
    results = assemble(ladder, store)
    chosen = {(search.size, search.budget): search.chosen for search in results.searches}
    assert chosen.keys() == {("s", 1), ("s", 2), ("s", 4), ("m", 1), ("m", 2)}
    assert {(p.size, p.budget): p.factor for p in results.points} == chosen
    for search in results.searches:
        assert search.losses[f"{search.chosen:g}"] == min(search.losses.values())
    report.write_ladder(results, tmp_path)
    lines = (tmp_path / "ladder.txt").read_text()
    assert "learning rates" in lines
    page = (tmp_path / "ladder.html").read_text()
    assert all(f"{loss:.4f}" in page for each in results.searches for loss in each.losses.values())
