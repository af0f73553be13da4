"""Mistakes in ladders are refused in one line."""

import math

import pytest
import yaml

from latentwave.bench.cli.main import main
from latentwave.bench.ladder import (
    Ladder,
    assemble,
    load_ladder,
    plan_ladder,
    read_ladder,
    run_ladder,
)
from latentwave.errors import UserError
from tests.bench.ladder.tiny_ladder import QUIET, recipe_of, values, write_recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": {}}, "sizes must have at least one entry"),
        (
            {"sizes": {"s": "big"}},
            "sizes.s: Input should be a mapping of names to values, got 'big'",
        ),
        ({"budgets": 5}, "budgets: Input should be a valid list, got 5"),
        ({"sizes": {"s": {}}, "budgets": [1, 2]}, r"at least 3 budgets .* got \[1.0, 2.0\]"),
        ({"controls": ["that"]}, "controls names that"),
        ({"budgets": [4, 2]}, r"budgets must be finite, > 0 and ascending, got \[4.0, 2.0\]"),
        ({"budgets": [4, math.inf]}, "budgets must be finite"),
        ({"budgets": [0.1, 0.11]}, "must rise and come after the 2 steps of warm-up"),
        ({"contestants": {"it": {"kind": "ema"}}}, "plain backbone as contestant 'none'"),
        ({"contestants": {"none": {}, "../x": {"kind": "ema"}}}, "names a folder"),
        ({"name": "../x"}, "names a folder"),
        ({"settings": {}}, "settings must have at least one entry"),
        ({"settings": {"strong": {"training": {"learning_rat": 1}}}}, "learning_rat"),
        ({"search": {"factors": [1, 0.5]}}, "ascending"),
        (
            {"search": {"widen": 1}},
            r"widen=1 widens no grid: search.factors \[1.0\] must be several",
        ),
        ({"search": {"factors": [0.5, 1], "seed": 0}}, "search.seed 0 must not be among"),
        *[
            ({name: {"a": {"contestants": ["it"]}}}, f"{name}.a.contestants must hold 'none'")
            for name in ("sizes", "settings")
        ],
        ({"search": {"seed": -1}}, "search.seed must be distinct numbers from 0"),
        (
            {"sizes": {"m": {"backbone": {"hidden_size": 16}}, "s": {}}},
            "sizes must be listed smallest first, but 's' with",
        ),
        ({"search": {"sizes": ["xl"]}}, "search.sizes names xl; there are s, m"),
        ({"search": {"sizes": []}}, "search.sizes is empty: leave it out for all of s, m"),
        ({"sizes": {"s": {"settings": []}}}, "sizes.s.settings is empty: .* all of strong"),
        ({"lengths": 3}, "lengths"),
        *[
            ({"search": {"factors": [0.5, 1], "budget": budget}}, message)
            for budget, message in [
                (-3, "must be > 0, got -3"),
                (0.1, "search.budget 0.1 at size 's' is too small"),
            ]
        ],
        *[
            ({"contestants": {"none": {}, "it": {"kind": "ema"} | own}}, "has no place in a ladder")
            for own in ({"learning_rate": 0.1}, {"num_steps": 9}, {"baseline": "x"})
        ],
        *[
            ({"settings": {"a": {"training": own}}}, f"a.training.{name} is set by the ladder")
            for name, own in [("schedule", {"schedule": "wsd"}), ("num_steps", {"num_steps": 9})]
        ],
        ({"training": {"schedule": "wsd"}}, "^training.schedule is set by the ladder itself, got"),
        (
            {"settings": {"a": {"backbone": {"hidden_size": 8}}}},
            "backbone.hidden_size is set by settings.a and by sizes.m",
        ),
        ({"sizes": {"s": {"overrides": {"none": {"hidden_size": 32}}}}}, "must not change 'none'"),
    ],
)
def test_mistakes_are_one_line(changes, message, text, store, tmp_path):
    with pytest.raises(UserError, match=message):
        Ladder(recipe_of(text, **changes), store, tmp_path / "x")


def test_another_recipe_is_refused_on_resume(finished, store, text):
    training = values(text)["training"] | {"learning_rate": 0.02}
    other = Ladder(recipe_of(text, training=training), store, finished.folder)
    with pytest.raises(UserError, match=r"learning_rate .* there, .* here"):
        run_ladder(other, store, resume=True, console=QUIET)


def test_runs_of_another_recipe_are_not_reported(finished, store, text):
    sizes = values(text)["sizes"]
    sizes["m"] |= {"training": {"weight_decay": 0.5}}
    other = Ladder(recipe_of(text, sizes=sizes), store, finished.folder)
    assert run_ladder(other, store, resume=True, only=["s"], console=QUIET) == 0
    with pytest.raises(UserError, match=r"weight_decay .* there, .* here"):
        assemble(other, store)


def test_what_cannot_start_leaves_no_folder(finished, store, text, tmp_path):
    ladder = Ladder(recipe_of(text), store, tmp_path / "none")
    with pytest.raises(UserError, match="no size or setting xl; it has the sizes s, m and the set"):
        run_ladder(ladder, store, only=["s", "xl"], console=QUIET)
    with pytest.raises(UserError, match=r"no size or setting \[\]; it has"):
        plan_ladder(ladder, store, only=[], console=QUIET)
    for limit in (-1.0, math.nan):
        with pytest.raises(UserError, match=rf"limit_minutes must be >= 0, got {limit}"):
            run_ladder(ladder, store, limit_minutes=limit, console=QUIET)
    assert run_ladder(ladder, store, limit_minutes=0, console=QUIET) == 8
    assert not assemble(ladder, store).points
    assert not ladder.folder.exists()


def test_no_time_to_begin_is_no_fault(capsys, tmp_path, text):
    recipe, output = write_recipe(tmp_path, text), tmp_path / "out"
    assert main(["ladder", str(recipe), "--output", str(output), "--limit_minutes", "0"]) == 0
    assert "8 trunks are left" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"points": 3}', "{}"])
def test_a_damaged_file_is_one_line(content, tmp_path):
    (tmp_path / "ladder.json").write_text(content)
    with pytest.raises(UserError, match="damaged"):
        read_ladder(tmp_path)


def test_a_ladder_without_sizes_is_still_called_one(tmp_path, text):
    path = write_recipe(tmp_path, text)
    recipe = {
        key: value for key, value in yaml.safe_load(path.read_text()).items() if key != "sizes"
    }
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(UserError, match="sizes: Field required"):
        load_ladder(path)
