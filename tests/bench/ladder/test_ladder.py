"""Ladders from recipe to ladder.json, killed and resumed."""

import io
import itertools
import json
import shutil
import subprocess
import sys
import time

import pytest
from rich.console import Console

from latentwave.bench import report
from latentwave.bench.cli import runs as commands
from latentwave.bench.comparison import Workers
from latentwave.bench.ladder import (
    Ladder,
    assemble,
    load_ladder,
    plan_ladder,
    read_ladder,
    run_ladder,
    time_steps,
    units,
)
from latentwave.bench.ladder.costs import cell_cost, timed_speeds
from latentwave.bench.ladder.recipe import OF_THE_LADDER, Cell
from latentwave.bench.training import TrainingConfig, read_result
from latentwave.bench.training.result import write_result
from latentwave.errors import UserError
from tests.bench.ladder.tiny_ladder import QUIET, losses, recipe_of, values, write_recipe
from tests.processes import ENVIRONMENT, ROOT


def test_every_branch_is_trained(finished, store):
    results = assemble(finished, store)
    ends = [("s", 0, 1), ("s", 0, 2), ("s", 0, 4), ("m", 1, 1), ("m", 1, 2)]
    assert set(losses(results)) == {
        (size, name, seed, budget) for size, seed, budget in ends for name in ("none", "it")
    }
    assert [(s.size, s.contestant) for s in results.searches] == [("s", "none"), ("s", "it")]
    trunks = {unit.folder for cell in finished.cells() for unit in finished.units(cell)}
    assert {path.parents[2] for path in finished.folder.rglob("checkpoint-*")} == trunks
    parameters = {c.size: c.num_parameters for c in results.costs if c.contestant == "none"}
    for point in results.points:
        assert point.tokens == pytest.approx(point.budget * parameters[point.size], rel=0.1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("workers", [Workers(jobs=2), Workers(ray_address="local")], ids=str)
def test_other_processes_give_the_same(finished, store, text, tmp_path, workers):
    ladder = Ladder(recipe_of(text), store, tmp_path / "ladder")
    assert run_ladder(ladder, store, workers=workers, console=QUIET) == 0
    own, expected = (losses(assemble(each, store)) for each in (ladder, finished))
    assert own == pytest.approx(expected, abs=1e-4)  # other threads sum in another order


def test_all_contestants_get_a_seed_before_one_gets_two(
    finished, store, text, tmp_path, monkeypatch
):
    result = read_result(next(finished.folder.glob("*/*/*/*/*/branch-1")))

    def finish(recipe, contestant, seed, store, folder, **_):
        folder.mkdir(parents=True)
        write_result(folder, result)

    monkeypatch.setattr(units, "train", finish)
    sizes = {"s": {"seeds": [7, 3]}, "m": {"seeds": [1, 0], "backbone": {"hidden_size": 16}}}
    changes = {"sizes": sizes, "budgets": [1], "search": {"factors": [0.5, 1.0], "budget": 1}}
    ladder = Ladder(recipe_of(text, **changes), store, tmp_path / "ladder")
    output = io.StringIO()
    assert run_ladder(ladder, store, console=Console(file=output, width=200)) == 0
    order = [
        line.split(" ")[1].strip(":").split("/")[1:] for line in output.getvalue().split("\n")[:-1]
    ]
    factors = ["factor-0.5", "factor-1"]
    searches = itertools.product("ms", ("none", "it"), ["seed1000"], factors)
    assert order[:8] == [list(each) for each in searches]
    trunks = [("m", "seed1"), ("s", "seed7"), ("m", "seed0"), ("s", "seed3")]
    expected = [[size, name, seed] for size, seed in trunks for name in ("none", "it")]
    assert [each[:3] for each in order[8:]] == expected


def test_a_trunk_and_its_branches_are_compiled_alike(store, text, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingConfig, "LONG", 40)
    search = {"factors": [1.0]}
    ladder = Ladder(recipe_of(text, search=search), store, tmp_path / "ladder")
    for cell in ladder.cells(["s"]):
        steps = ladder.rung(cell).num_steps
        assert steps[1] < 40 <= steps[4], steps
        for unit in ladder.units(cell):
            assert {run.training.compile for _, run, _ in unit.runs} == {True}


def test_settings_of_a_size_read_the_same_tokens(store, text, tmp_path):
    settings = {"small": {}, "large": {"training": {"batch_size": 8}}}
    ladder = Ladder(recipe_of(text, settings=settings), store, tmp_path / "ladder")
    tokens = {name: [] for name in settings}
    for cell, searches in ladder.searches.items():
        lengths = [*ladder.rung(cell).num_steps.values(), *(unit.num_steps for unit in searches)]
        batch_size = ladder.recipe.experiment(cell).training.batch_size
        tokens[cell.setting] += [length * batch_size for length in lengths]
    assert tokens["small"] == pytest.approx(tokens["large"], abs=8)


def test_only_some_sizes_and_settings_are_trained(store, text, tmp_path):
    settings, sizes = {"strong": {}, "plain": {}}, values(text)["sizes"]
    sizes["m"] |= {"settings": ["strong"]}
    ladder = Ladder(recipe_of(text, settings=settings, sizes=sizes), store, tmp_path / "ladder")

    def places(*only):
        return {(cell.setting, cell.size) for cell in ladder.cells(only)}

    assert places("plain") == {("plain", "s")}
    assert places("s") == {("strong", "s"), ("plain", "s")}
    assert places("m", "s", "strong") == {("strong", "s"), ("strong", "m")}
    with pytest.raises(UserError, match="trains nothing at m, plain"):
        places("m", "plain")


def test_factors_and_budgets_that_differ_late_have_folders_of_their_own(store, text, tmp_path):
    search = {"factors": [1.0, 1.0000001]}
    ladder = Ladder(recipe_of(text, search=search), store, tmp_path / "ladder")
    folders = [unit.folder.name for unit in ladder.searches[Cell("strong", "s", "none")]]
    assert folders == ["factor-1", "factor-1.0000001"]
    assert units.branch_name(20.0) != units.branch_name(20.000001)


def test_without_time_left_units_are_only_counted(finished, store):
    assert run_ladder(finished, store, resume=True, limit_minutes=0, console=QUIET) == 0


def test_results_can_be_read_again(finished, store, tmp_path):
    results = assemble(finished, store, command="latentwave ladder x")
    results.write(tmp_path)
    assert read_ladder(tmp_path) == results
    paths = report.write_ladder(results, tmp_path)
    assert [path.name for path in paths] == [
        *("ladder.html", "ladder.txt", "multipliers.png", "sizes.png", "losses.png")
    ]
    page = paths[0].read_text()
    assert "short_conv" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_plan_counts_what_would_be_trained(store, text, tmp_path):
    ladder = Ladder(recipe_of(text), store, tmp_path / "not-there")
    small, middle = rungs = plan_ladder(ladder, store, rounds=1)
    assert not ladder.folder.exists()
    assert (small.num_runs, middle.num_runs) == (2 * (3 + 2), 2 * 2)
    ends = ladder.rung(Cell("strong", "m", "none"))
    steps = ends.branch_steps[2] + sum(ends.num_steps[b] - ends.branch_steps[b] for b in (1, 2))
    assert middle.tokens == 2 * steps * 4 * 16
    assert middle.flops / middle.tokens > small.flops / small.tokens
    assert all(rung.hours > 0 for rung in rungs)
    report.print_plan(rungs, QUIET)


def test_a_plan_leaves_out_what_is_finished(finished, store, text, tmp_path):
    folder = tmp_path / "ladder"
    shutil.copytree(finished.folder, folder)
    shutil.rmtree(folder / "strong" / "m" / "it")
    small, middle = plan_ladder(Ladder(recipe_of(text), store, folder), store, rounds=1)
    assert (small.num_contestants, small.num_runs, small.tokens, small.hours) == (0, 0, 0, 0)
    assert (middle.num_contestants, middle.num_runs) == (1, 2)
    assert middle.hours > 0


def test_the_command_plans_some_sizes_and_reports_what_it_times(text, tmp_path, capsys):
    recipe = write_recipe(tmp_path, text)
    commands.ladder(recipe, command="", workers={}, output=tmp_path / "n", only=["m"], plan=True)
    seen = capsys.readouterr()
    assert seen.err == "strong, m: timing training steps of 2 contestants …\n"
    assert [line.split()[1] for line in seen.out.splitlines() if "strong" in line] == ["m"]


@pytest.mark.slow
def test_a_killed_ladder_resumes_to_the_same_losses(finished, store, text, tmp_path):
    recipe = write_recipe(tmp_path, text)
    folder = tmp_path / "ladder"
    command = [sys.executable, "-m", "latentwave", "ladder", str(recipe), "--output", str(folder)]
    for marker in ("seed0/*/trunk/run.json", "seed0/*/branch-1/run.json"):
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([*command, "--resume"], env=ENVIRONMENT, cwd=ROOT, **silent)
        # Not rglob, which fails on folders that are removed meanwhile.
        while not list(folder.glob(f"strong/*/*/{marker}")):
            assert process.poll() is None, f"ended before {marker}"
            time.sleep(0.02)
        process.kill()
        process.wait()
    ladder = Ladder(load_ladder(recipe), store, folder)
    assert run_ladder(ladder, store, resume=True, console=QUIET) == 0
    assert losses(assemble(ladder, store)) == losses(assemble(finished, store))


@pytest.mark.slow
def test_a_branch_that_was_deleted_is_trained_again(finished, store, text, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder)
    (branch,) = folder.glob("strong/m/it/seed1/*/branch-2")
    shutil.rmtree(branch)
    ladder = Ladder(finished.recipe, store, folder)
    assert len(assemble(ladder, store).points) == 9
    assert run_ladder(ladder, store, resume=True, console=QUIET) == 0
    assert losses(assemble(ladder, store)) == losses(assemble(finished, store))


def test_larger_budgets_go_on_from_the_trunk(store, text, tmp_path):
    folder, plain = tmp_path / "ladder", Cell("strong", "s", "none")

    def run(*budgets):
        changes = {"search": {"factors": [0.5]}, "contestants": {"none": {}}}
        ladder = Ladder(recipe_of(text, budgets=list(budgets), **changes), store, folder)
        run_ladder(ladder, store, resume=True, only=["s"], console=QUIET)
        trunk = read_result(ladder.units(plain)[0].folder / "trunk")
        return losses(assemble(ladder, store)), [point.step for point in trunk.curve]

    _, (_, first) = run(1, 2)
    longer, steps = run(1, 2, 4)
    assert steps[:2] == [0, first]
    shutil.rmtree(folder / "strong/s/none/seed0/factor-0.5/trunk/checkpoints")
    between, again = run(1, 2, 3, 4)  # with no checkpoint to continue from
    assert again == [0, steps[-1]]
    fewer, _ = run(1, 2, 4)
    assert fewer == longer
    assert between.items() > longer.items()
    shutil.rmtree(folder)
    assert run(1, 2, 3, 4)[0] == between


def test_timed_steps_count_for_their_recipe_only(finished, store, text):
    time_steps(finished, store, console=QUIET)
    speeds = [cost.tokens_per_second for cost in assemble(finished, store).costs]
    assert all(speeds)
    for path in finished.folder.glob("*/*/clock.json"):
        content = json.loads(path.read_text())
        training = content["setting"]["training"]
        assert not OF_THE_LADDER & training.keys()  # so that other defaults leave it valid
        training["batch_size"] += 1
        path.write_text(json.dumps(content))
    assert not any(cost.tokens_per_second for cost in assemble(finished, store).costs)


def test_added_contestants_are_timed_beside_the_plain_decoder(store, text, tmp_path, monkeypatch):
    contestants = {"none": {}, "a": {"kind": "short_conv", "points": ["mlp"]}}
    more = contestants | {"b": {"kind": "ema", "points": ["mlp"]}}
    folder = tmp_path / "ladder"

    def ladder_of(contestants):
        return Ladder(recipe_of(text, contestants=contestants), store, folder)

    def speeds(contestants):
        found = timed_speeds(ladder_of(contestants))
        return {cell.contestant: speed for cell, speed in found.items()}

    time_steps(ladder_of(contestants), store, ["s"], QUIET)
    first = speeds(contestants)
    assert first.keys() == {"none", "a"}
    assert speeds(more) == first
    time_steps(ladder_of(more), store, ["s"], QUIET)
    path = folder / "strong/s/clock.json"
    content = json.loads(path.read_text())
    content["values"][1]["clock"]["step_seconds"] = {"none": [4.0, 4.0], "b": [8.0, 8.0]}
    path.write_text(json.dumps(content))
    assert speeds(more) == first | {"b": pytest.approx(first["none"] / 2)}
    changed = more | {"a": {"kind": "wavelet", "points": ["mlp"]}}
    assert speeds(changed).keys() == {"none", "b"}

    with monkeypatch.context() as patch:  # all are timed again, but that is interrupted
        patch.setattr("latentwave.bench.ladder.costs.take_clock", interrupt)
        with pytest.raises(KeyboardInterrupt):
            time_steps(ladder_of(more), store, ["s"], QUIET)
    assert speeds(more).keys() == more.keys()
    time_steps(ladder_of(more), store, ["s"], QUIET)
    assert len(json.loads(path.read_text())["values"]) == 1


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_a_trunk_that_diverged_is_a_result(store, text, tmp_path):
    training = values(text)["training"] | {"learning_rate": 1e8, "max_grad_norm": 1e9}
    changes = {"training": training, "search": {"factors": [1.0]}}
    ladder = Ladder(recipe_of(text, **changes), store, tmp_path / "ladder")
    run_ladder(ladder, store, only=["s"], console=QUIET)
    results = assemble(ladder, store)
    assert len(results.points) == 2 * 3
    assert results.points[0].loss is None
    report.write_ladder(results, tmp_path)
    lines = (tmp_path / "ladder.txt").read_text()
    assert "diverged: strong none s at 4 tokens per parameter: 1 of 1 seeds" in lines


def test_a_contestant_with_its_own_backbone_has_its_own_cost(store, text, tmp_path):
    contestants = {"none": {}, "it": {"backbone": {"intermediate_size": 32}}}
    ladder = Ladder(recipe_of(text, contestants=contestants), store, tmp_path / "ladder")
    plain, wider = (cell_cost(ladder, store, Cell("strong", "s", name)) for name in contestants)
    assert wider.num_parameters == plain.num_parameters + 3 * 8 * 16
    assert wider.flops_per_token > plain.flops_per_token
