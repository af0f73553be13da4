import dataclasses
import shlex
import subprocess
from pathlib import Path

import pytest

from latentwave.bench.comparison import write_results
from latentwave.errors import UserError
from tests.bench.comparison.made_up import made_up_results
from tools import rerun
from tools.comparisons import read_checked

DEMO = {"none": [2.5, 2.6], "wavelet": [2.0, 2.2]}


@dataclasses.dataclass
class Repository:
    """A repository in which running a comparison writes made-up results instead of training."""

    recorded: dict = dataclasses.field(default_factory=lambda: dict(DEMO))
    measured: dict = dataclasses.field(default_factory=lambda: dict(DEMO))
    recipe: dict = dataclasses.field(default_factory=lambda: {"name": "made-up"})
    calls: list = dataclasses.field(default_factory=list)

    def record(self, **changes):
        folder = Path("results/demo")
        folder.mkdir(parents=True, exist_ok=True)
        results = made_up_results(self.recorded, recipe={"name": "made-up"})
        write_results(results.model_copy(update=changes), folder)

    def train(self, command, check):
        self.calls.append(shlex.join(command[1:]))
        folder = Path(command[command.index("--output") + 1])
        folder.mkdir(parents=True)
        write_results(made_up_results(self.measured, recipe=self.recipe), folder)
        return subprocess.CompletedProcess(command, 0)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    made = Repository()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rerun.subprocess, "run", made.train)
    read_checked.cache_clear()
    made.record()
    yield made
    read_checked.cache_clear()


def test_the_recorded_command_runs_in_a_folder_of_its_own(repository, capsys):
    assert rerun.main(["demo", "--training.num_steps", "500"]) == 0
    assert repository.calls == [
        "-m latentwave compare recipes/made-up.yaml --output runs/rerun-demo "
        "--training.num_steps 500 --resume"
    ]
    assert "agrees  wavelet: final loss 2.1000, recorded 2.1000" in capsys.readouterr().out
    assert rerun.main([]) == 0
    assert "runs/rerun-demo is finished and is taken as it is" in capsys.readouterr().out
    assert len(repository.calls) == 1


# Recorded with two seeds: 2.1 [2.0, 2.2], and seeds 0.2 apart.
@pytest.mark.parametrize(
    ("recorded", "measured", "agrees"),
    [
        ([2.0, 2.2], [2.39], True),
        ([2.0, 2.2], [2.41], False),
        ([2.0, 2.2], [1.81], True),
        ([2.0, 2.2], [1.79], False),
        ([2.0, 2.2], [None], False),
        ([2.0], [2.03], True),
        ([2.0], [2.05], False),
        ([2.0], [1.95], False),
    ],
)
def test_a_new_loss_must_lie_in_the_interval_widened_by_the_spread(
    repository, capsys, recorded, measured, agrees
):
    repository.recorded = {"none": recorded, "wavelet": recorded}
    repository.measured = {"none": [2.0], "wavelet": measured}
    repository.record()
    assert rerun.main(["demo"]) == (0 if agrees else 1)
    assert f"{'agrees' if agrees else 'DIFFERS'}  wavelet: " in capsys.readouterr().out


def test_missing_contestants_and_changed_recipes_are_named(repository, capsys):
    repository.measured = {"none": [2.5, 2.6]}
    repository.recipe = {"name": "other", "seeds": [0]}
    assert rerun.main(["demo"]) == 1
    shown = capsys.readouterr().out
    assert "demo: not as recorded: name\n" in shown
    assert "DIFFERS  wavelet: final loss nan" in shown


def test_mistakes_are_one_line(repository, capsys, monkeypatch):
    assert rerun.main(["demos"]) == 2
    assert "results/demos is missing: give the folder" in capsys.readouterr().err
    repository.record(command="rm -r everything")
    read_checked.cache_clear()
    assert rerun.main(["demo"]) == 2
    assert "'rm -r everything' is not a comparison's command" in capsys.readouterr().err
    failed = subprocess.CompletedProcess([], 3)
    monkeypatch.setattr(rerun.subprocess, "run", lambda command, check: failed)
    with pytest.raises(UserError, match="ended with 3"):
        rerun.run("latentwave compare x", Path("runs/x"), [])
