import json
import shlex
import subprocess
from pathlib import Path

import pytest

from latentwave.errors import UserError
from tests.tools.test_comparisons import DEMO, TEXT, copy_with
from tools import rerun
from tools.comparisons import recompute


def shifted(folder, source, nats):
    """A comparison whose losses all moved by some nats, in every number."""

    def move(results):
        for own in results["contestants"].values():
            for point in own["curve"]:
                point["losses"] = [loss + nats for loss in point["losses"]]
                point["loss"] += nats
            for key, value in own["final_loss"].items():
                own["final_loss"][key] = None if value is None else value + nats
            own.pop("bits_per", None)
            own.pop("bits_per_character", None)
            own["bits_per"] = {}
        results["corpus"].pop("characters_per_token", None)
        results["corpus"]["units_per_token"] = {}

    return recompute(copy_with(folder, source, move))


# The demo's wavelet: 1.814 [1.797, 1.829] over seeds that are 0.0318 apart.
@pytest.mark.parametrize(
    ("nats", "none", "wavelet"),
    [(0.0, True, True), (0.045, False, True), (-0.045, False, True), (0.05, False, False)],
)
def test_a_new_loss_must_lie_in_the_interval_widened_by_the_spread(tmp_path, nats, none, wavelet):
    verdicts = rerun.judge(recompute(DEMO), shifted(tmp_path, DEMO, nats))
    assert {v.name: v.agrees for v in verdicts} == {"none": none, "wavelet": wavelet}


@pytest.mark.parametrize(("nats", "agrees"), [(0.03, True), (0.06, False)])
def test_one_seed_may_differ_by_two_percent(tmp_path, nats, agrees):
    verdicts = rerun.judge(recompute(TEXT), shifted(tmp_path, TEXT, nats))
    assert [v.agrees for v in verdicts] == [agrees] * 3


def test_a_contestant_that_was_not_run_again_does_not_agree(tmp_path):
    def without(results):
        del results["contestants"]["short_conv"]

    verdicts = rerun.judge(recompute(TEXT), recompute(copy_with(tmp_path, TEXT, without)))
    assert [v.agrees for v in verdicts] == [True, True, False]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Where running a comparison copies the record instead of training."""
    for source in (DEMO, TEXT):
        (tmp_path / "results").mkdir(exist_ok=True)
        copy_with(tmp_path / "results" / source.name, source, lambda results: None)
    calls = []

    def fake(command, cwd, check):
        calls.append(shlex.join(command[1:]))
        name = "demo" if "recipes/demo.yaml" in command else "text-small"
        output = max(i for i, word in enumerate(command) if word == "--output")
        folder = Path(cwd) / command[output + 1]
        folder.mkdir(parents=True)
        (folder / "results.json").write_bytes(
            (tmp_path / "results" / name / "results.json").read_bytes()
        )
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(rerun.subprocess, "run", fake)
    return tmp_path, calls


def test_the_recorded_command_runs_in_a_folder_of_its_own(repository, capsys):
    root, calls = repository
    assert rerun.main(["demo", "--training.num_steps", "500"], root) == 0
    assert calls == [
        "-m latentwave compare recipes/demo.yaml --seeds '[0,1,2]' --output runs/demo --resume "
        "--output runs/rerun-demo --training.num_steps 500"
    ]
    assert "agrees  wavelet: final loss 1.8144, recorded 1.8144" in capsys.readouterr().out
    assert rerun.main(["demo"], root) == 0
    assert "runs/rerun-demo is finished and is taken as it is" in capsys.readouterr().out
    assert rerun.main(["demo", "--finished"], root) == 0
    assert len(calls) == 1


def test_all_comparisons_by_default_and_a_difference_in_the_exit_code(repository, capsys):
    root, calls = repository
    assert rerun.main(["--seeds", "[0]"], root) == 0
    assert [call.endswith("--seeds '[0]'") for call in calls] == [True, True]
    assert "not as recorded" not in capsys.readouterr().out
    shifted(root / "runs" / "rerun-demo", DEMO, 0.1)
    file = root / "runs" / "rerun-demo" / "results.json"
    results = json.loads(file.read_text())
    results["recipe"]["training"]["learning_rate"] = 1.0
    del results["recipe"]["contestants"]["wavelet"]
    file.write_text(json.dumps(results))
    assert rerun.main(["--finished"], root) == 1
    shown = capsys.readouterr().out
    assert "DIFFERS  wavelet: final loss 1.9144" in shown
    assert "not as recorded: contestants.wavelet, training.learning_rate" in shown


def test_mistakes_are_one_line(repository, capsys):
    root, _ = repository
    assert rerun.main(["demos"], root) == 2
    assert "there is no results/demos/results.json; choose from" in capsys.readouterr().err
    file = root / "results" / "demo" / "results.json"
    results = json.loads(file.read_text())
    file.write_text(json.dumps(results | {"command": "rm -r everything"}))
    with pytest.raises(UserError, match="'rm -r everything' is not a comparison's command"):
        rerun.run("rm -r everything", Path("runs/x"), [], root)
    assert rerun.main(["demo"], root) == 2
