import shlex
from pathlib import Path

import pytest

from latentwave.bench.cli.main import _parser, _with_recipe_option
from latentwave.bench.comparison import write_results
from latentwave.bench.training import BASELINE, load_recipe
from tests.bench.comparison.made_up import made_up_results
from tests.processes import ROOT
from tools import demo


@pytest.mark.parametrize(
    ("best", "said"),
    [
        ([1.8], "ends 0.200 nats per token below the plain decoder (1.800 against 2.000, one seed"),
        ([2.3], "'best' ends 0.300 nats per token above the plain decoder"),
        ([None], "A run diverged"),
    ],
)
def test_the_finding_and_its_limits_are_printed(tmp_path, capsys, best, said):
    write_results(made_up_results({"none": [2.0], "best": best}), tmp_path)
    demo.main(tmp_path)
    shown = capsys.readouterr().out
    assert said in shown
    assert "What this is not" in shown
    assert max(map(len, shown.splitlines())) <= 100 + len(str(tmp_path)) * 2


def test_what_to_try_next_can_be_typed(monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe = load_recipe("recipes/demo.yaml")
    assert {demo.SUBJECT, BASELINE} <= set(recipe.contestants)
    commands = demo.next_commands(Path("runs/demo"))
    assert len(commands) == 3
    for command in commands:
        program, *arguments = shlex.split(command)
        assert Path(program).name == "latentwave"
        options = _parser().parse_args(_with_recipe_option(arguments))
        assert options.subcommand == arguments[0]
