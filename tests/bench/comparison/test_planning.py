import dataclasses
import math
from pathlib import Path

import pytest

from latentwave.bench.comparison import compare, planning
from latentwave.bench.training import (
    ContestantConfig,
    Recipe,
    TrainingConfig,
    TuningConfig,
    read_result,
)
from latentwave.errors import UserError
from tests.bench.comparison.conftest import QUIET


def recipe_of(**contestants):
    return Recipe(
        name="x",
        contestants={"none": ContestantConfig(), **contestants},
        training=TrainingConfig(num_steps=1000, evaluate_every_steps=50),
        tuning=TuningConfig(learning_rates=[1e-3, 2e-3, 4e-3]),
    )


def test_budgets_follow_each_contestants_own_baseline():
    recipe = recipe_of(
        large=ContestantConfig(backbone={"num_layers": 20}),
        mixed=ContestantConfig(kind="wavelet", baseline="large", backbone={"num_layers": 20}),
        fixed=ContestantConfig(kind="wavelet", num_steps=250),
        dear=ContestantConfig(),
    )
    costs = {"none": 1.0, "large": 2.0, "mixed": 4.0, "fixed": 9.0, "dear": 1e6}
    matched = planning.match_budget(recipe, costs)
    steps = {name: contestant.num_steps for name, contestant in matched.contestants.items()}
    # The larger backbone has half the steps of the plain one, and so its mixer half of these. One
    # beyond the budget still gets one evaluation.
    assert steps == {"none": 1000, "large": 500, "mixed": 250, "fixed": 250, "dear": 50}


def test_the_same_tokens_are_those_of_the_baseline(experiment, tmp_path):
    recipe, store = experiment
    short = ContestantConfig(backbone={"num_layers": 1}, num_steps=4)
    own = {"short": short, "mixed": ContestantConfig(backbone={"num_layers": 1}, baseline="short")}
    recipe = dataclasses.replace(recipe, contestants=recipe.contestants | own, seeds=[0])
    results = compare(recipe, store, tmp_path / "out", console=QUIET)
    steps = {name: contestant.num_steps for name, contestant in results.contestants.items()}
    assert steps == {"none": 8, "wavelet": 8, "short": 4, "mixed": 4}
    again = compare(recipe, store, tmp_path / "out", resume=True, console=QUIET)
    assert again.contestants == results.contestants


def test_the_rate_with_the_lowest_loss_is_chosen():
    recipe = recipe_of(own=ContestantConfig(learning_rate=5e-4))

    def choose(*losses):
        by_rate = dict(zip(recipe.tuning.learning_rates, losses, strict=True))
        tuned, searches = planning.choose_rates(recipe, {"none": by_rate})
        assert list(searches) == ["none"]
        assert tuned.contestants["own"].learning_rate == 5e-4
        assert tuned.contestants["none"].learning_rate == searches["none"].chosen
        return searches["none"]

    inside = choose(2.0, 1.5, math.nan)
    assert (inside.chosen, inside.at_end_of_grid) == (2e-3, False)
    assert str(inside.losses) == "{'0.001': 2.0, '0.002': 1.5, '0.004': None}"
    at_end = choose(3.0, 2.0, 1.0)
    assert (at_end.chosen, at_end.at_end_of_grid) == (4e-3, True)
    # Where all diverge, the lowest rate is on record as diverged.
    diverged = choose(math.nan, math.inf, math.nan)
    assert (diverged.chosen, diverged.at_end_of_grid) == (1e-3, True)


def test_rates_that_differ_late_have_folders_of_their_own():
    tuning = TuningConfig(learning_rates=[1e-3, 1.0000001e-3])
    recipe = dataclasses.replace(recipe_of(), tuning=tuning)
    jobs = planning.search_jobs(recipe, planning.searched_rates(recipe), Path())
    assert [job.folder.name for job in jobs] == [
        "none-lr0.001-seed1000",
        "none-lr0.0010000001-seed1000",
    ]
    _, searches = planning.choose_rates(recipe, {"none": {1e-3: 2.0, 1.0000001e-3: 1.0}})
    assert list(searches["none"].losses.values()) == [2.0, 1.0]


@pytest.mark.parametrize(
    ("losses", "beyond"),
    [
        ([2.0, 1.0, 1.5], None),
        ([1.0, 2.0, 3.0], 5e-4),
        ([3.0, 2.0, 1.0], 8e-3),
        ([3.0, 2.0, math.nan], None),
        ([math.nan, math.nan, math.inf], 5e-4),
    ],
)
def test_a_grid_is_widened_where_its_best_lies_at_an_end(losses, beyond):
    assert planning.rate_beyond(dict(zip([1e-3, 2e-3, 4e-3], losses, strict=True))) == beyond


def test_a_tuned_comparison_trains_with_the_rates_it_finds(experiment, tmp_path):
    recipe, store = experiment
    tuning = TuningConfig(learning_rates=[1e-5, 1e-4], num_steps=4, seeds=[1000, 1001], widen=2)
    given = dataclasses.replace(recipe.contestants["wavelet"], learning_rate=2e-3)
    contestants = recipe.contestants | {"wavelet": given}
    tuned = dataclasses.replace(recipe, contestants=contestants, tuning=tuning, seeds=[0])
    results = compare(tuned, store, tmp_path / "out", console=QUIET)
    (search,) = results.tuning.values()  # the other contestant's rate is given
    assert list(search.losses) == ["1e-05", "0.0001", "0.001", "0.01"]
    assert search.at_end_of_grid
    found = {name: each.learning_rate for name, each in results.contestants.items()}
    assert found == {"none": search.chosen, "wavelet": 2e-3}
    assert search.chosen == 0.01
    assert {each.num_steps for each in results.contestants.values()} == {8}
    folder = tmp_path / "out" / "tuning"
    assert {path.name for path in folder.iterdir()} == {
        f"none-lr{rate}-seed{seed}" for rate in search.losses for seed in tuning.seeds
    }
    # The worst seed counts.
    runs = [read_result(folder / f"none-lr0.01-seed{s}").final_loss for s in tuning.seeds]
    assert search.losses["0.01"] == max(runs) > min(runs)


@pytest.mark.parametrize(
    ("own", "tuned"), [({"num_steps": 2}, 4), ({}, 2)], ids=["of a contestant", "of the search"]
)
def test_a_warmup_too_long_for_any_run_is_refused_before_the_search(
    experiment, tmp_path, own, tuned
):
    recipe, store = experiment
    contestants = recipe.contestants | {"short": ContestantConfig(kind="ema", **own)}
    tuning = TuningConfig(learning_rates=[1e-4, 1e-3], num_steps=tuned)
    recipe = dataclasses.replace(recipe, contestants=contestants, tuning=tuning)
    with pytest.raises(UserError, match="num_warmup_steps=2 is too long for training.num_steps=2"):
        compare(recipe, store, tmp_path / "out", console=QUIET)
    assert not (tmp_path / "out" / "tuning").exists()


@pytest.mark.parametrize("budget", ["flops", "seconds"])
def test_matched_budgets_are_kept_when_resumed(experiment, tmp_path, budget):
    recipe, store = experiment
    dear = ContestantConfig(kind="filterbank", options={"num_filters": 64, "kernel_size": 16})
    matched = dataclasses.replace(
        recipe,
        budget=budget,
        contestants={"none": ContestantConfig(), "dear": dear},
        training=dataclasses.replace(recipe.training, num_warmup_steps=1),
        seeds=[0],
    )
    folder = tmp_path / "out"
    results = compare(matched, store, folder, console=QUIET)
    spent = {
        name: getattr(contestant.curve[-1], budget)
        for name, contestant in results.contestants.items()
    }
    steps = {name: contestant.num_steps for name, contestant in results.contestants.items()}
    assert steps["none"] == 8
    assert steps["dear"] < 8
    every = recipe.training.evaluate_every_steps
    assert spent["dear"] / steps["dear"] * (steps["dear"] + every / 2) >= spent["none"] * 0.99
    # A mistake when resuming does not cost the steps that were matched.
    kept = (folder / "budget.json").read_bytes()
    longer = dataclasses.replace(matched.training, num_steps=12)
    other = dataclasses.replace(matched, training=longer)
    with pytest.raises(UserError, match=r"another budget \(num_steps 8 there, 12 here\)"):
        compare(other, store, folder, resume=True, console=QUIET)
    assert (folder / "budget.json").read_bytes() == kept
    for damaged in ("", "[" * 10**5, "[]", '{"steps": {"none": -1}}', "{}"):
        (folder / "budget.json").write_text(damaged)
        with pytest.raises(UserError, match=r"budget\.json is damaged .*remove it and go on"):
            compare(matched, store, folder, resume=True, console=QUIET)
    (folder / "budget.json").write_bytes(kept)
    again = compare(matched, store, folder, resume=True, time_again=True, console=QUIET)
    assert {n: c.num_steps for n, c in again.contestants.items()} == steps
