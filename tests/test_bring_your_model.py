"""The page "Bring your model" runs from top to bottom."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from latentwave.bench.cli.main import main
from tests.tiny import tiny_recipe, write_text

PAGE = (Path(__file__).parents[1] / "docs" / "bring-your-model.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
COMMAND = re.search(r"```sh\nlatentwave (.*?)\n```", PAGE).group(1)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


def test_its_code_runs_in_a_fresh_interpreter(workplace):
    source = Path(__file__).parents[1] / "src"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(BLOCKS)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=workplace,
        env=os.environ | {"PYTHONPATH": str(source)},
    )
    assert done.returncode == 0, done.stderr
    assert "trainable parameters" in done.stdout


def test_its_harness_command_runs_offline(workplace, monkeypatch, capsys):
    from latentwave.bench.data import prepare
    from latentwave.bench.training import train

    monkeypatch.chdir(workplace)
    monkeypatch.setenv("LATENTWAVE_HOME", str(workplace / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lines = Path("tasks/prose.jsonl").read_text().splitlines()
    letters = "".join(json.loads(line)["text"] for line in lines)
    text = write_text(workplace / "words.txt")
    text.write_text(text.read_text() + letters)
    recipe = tiny_recipe(text)
    train(recipe, "wavelet", 0, prepare(recipe.corpus), workplace / "RUN")
    capsys.readouterr()
    arguments = [part.strip("'") for part in COMMAND.split()]
    assert main(arguments) == 0
    assert "bits_per_byte" in capsys.readouterr().out
    figures = json.loads(Path("prose.json").read_text())
    assert 1 < figures["results"]["prose"]["bits_per_byte,none"] < 10
    assert main([*arguments[:2], "--tasks", "[other]", "--include_path", "tasks"]) == 2
    assert "knows no task other; known are: prose" in capsys.readouterr().err
