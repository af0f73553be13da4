"""Odd values, files and consoles: an error is one line, and nothing is written elsewhere."""

import io
import os
import subprocess
import sys

import pytest
import yaml

from latentwave.bench.cli import shared
from latentwave.bench.cli.main import main
from latentwave.bench.data import CorpusConfig, prepare
from latentwave.bench.training import progress
from latentwave.bench.training.progress import PlainConsole
from tests.bench.cli.conftest import refused
from tests.processes import ENVIRONMENT
from tests.tiny import tiny_recipe, write_text

pytestmark = pytest.mark.timeout(60)  # no input may keep a command busy


@pytest.fixture
def values(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTWAVE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    values = tiny_recipe(write_text(tmp_path / "words.txt")).to_dict()
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    return values


@pytest.mark.unchecked
@pytest.mark.parametrize(
    "name", ["../../x", "/x", "a/b", "..", ".x", "", "a\0b", "a\x1b[2J", "x" * 300]
)
def test_names_that_are_no_folders(name, values, tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values | {"name": name}))
    before = set(tmp_path.rglob("*"))
    assert "names a folder" in refused(capsys, "train", tmp_path / "recipe.yaml")
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("training.learning_rate", float("inf")),
        ("training.weight_decay", float("nan")),
        ("training.adam_beta2", float("nan")),
        ("backbone.initializer_range", float("inf")),
        ("training.batch_size", 10**12),
        ("training.num_steps", 10**30),
        ("training.timeout_seconds", 10**12),
        ("backbone.num_layers", 10**6),
        ("backbone.hidden_size", 10**30),
        ("backbone.num_heads", 0),
        ("seeds", [2**32]),
        ("tuning.seeds", [2**40]),
        ("tuning.learning_rates", [1e-3, float("inf")]),
        ("contestants", {"w": {"kind": "wavelet", "options": {"fraction": float("nan")}}}),
        ("contestants", {"w": {"kind": "wavelet", "options": {"level": 10**30}}}),
        ("contestants", {"../w": {}}),
    ],
    ids=str,
)
def test_values_without_bounds(place, value, values, tmp_path, capsys):
    group, _, name = place.partition(".")
    if name:
        values[group][name] = value
    else:
        values[group] = value
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    refused(capsys, "train", tmp_path / "recipe.yaml", "--output", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def bomb():
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    return "\n".join(lines).encode()


RECIPES = {
    "Latin-1": "name: caf\xe9\n".encode("latin-1"),
    "UTF-16": "name: x\n".encode("utf-16"),
    "anchors": bomb(),
    "itself": b"name: &a [*a]\n",
    "deep": b"[" * 100_000,
    "a date": b"name: 2026-02-31\n",
    "long": b"# " + b"x" * 2_000_000,
}


@pytest.mark.parametrize("content", [*RECIPES, "a FIFO", "a folder"])
def test_files_that_are_not_recipes(content, tmp_path, capsys):
    path = tmp_path / "recipe.yaml"
    if content == "a FIFO":
        os.mkfifo(path)
    elif content == "a folder":
        path.mkdir()
    else:
        path.write_bytes(RECIPES[content])
    assert str(path) in refused(capsys, "train", path)


@pytest.mark.parametrize(
    "error",
    [
        OSError(24, "Too many open files"),
        RuntimeError("Could not determine home directory."),
        ValueError("embedded null byte"),
    ],
)
def test_errors_of_the_machine(error, values, tmp_path, capsys, monkeypatch):
    def refuse(*_):
        raise error

    monkeypatch.setattr("latentwave.bench.training.prepared_store", refuse)
    refused(capsys, "train", tmp_path / "recipe.yaml")


def test_a_store_whose_bytes_have_changed(values, tmp_path, capsys):
    (tokens,) = prepare(CorpusConfig(**values["corpus"])).folder.glob("tokens.bin")
    *content, last = tokens.read_bytes()
    tokens.write_bytes(bytes([*content, last ^ 1]))
    for command in (["train", "recipe.yaml"], ["prepare", "words.txt"]):
        error = refused(capsys, *command)
        assert f"delete {tokens.parent} and prepare the corpus again" in error


def test_a_run_that_diverges(values, tmp_path, capsys):
    given = ["train", tmp_path / "recipe.yaml", "--output", tmp_path / "run"]
    given += ["--training.learning_rate", "1e8", "--training.num_warmup_steps", "0"]
    assert "the loss was no longer finite at step 2" in refused(capsys, *given, progress="wavelet")
    for command in ("evaluate", "generate", "inspect"):
        assert "diverged at step 2" in refused(capsys, command, tmp_path / "run")


HOSTILE = "a\x1b]0;title\x07\x1b[2J\r\u202eb"


def test_control_characters_are_shown_not_obeyed(capsys):
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True)
    console.print(HOSTILE, style="bold")
    shown = file.getvalue()
    assert not [each for each in ("\x1b]0;", "\x1b[2J", "\x07", "\r", "\u202e") if each in shown]
    assert r"a\x1b]0;title\x1b[2J\u202eb" in shown  # rich drops others itself
    assert "\x1b" not in refused(capsys, "report", f"/nowhere/{HOSTILE}")
    assert isinstance(shared.OUT, PlainConsole)
    assert isinstance(progress.ERR, PlainConsole)


@pytest.mark.unchecked
@pytest.mark.parametrize("command", ["train", "compare", "ladder", "search"])
def test_a_contestant_without_a_value(command, values, tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values | {"contestants": {"none": None}}))
    assert "write none: {}" in refused(capsys, command, tmp_path / "recipe.yaml")


NOWHERE = ["report", "nowhere−÷♪"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_consoles_that_cannot_encode_a_character(encoding, monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(shown, encoding, line_buffering=True))
    assert main(NOWHERE) == 2
    assert shown.getvalue().count(b"\n") == 1
    expected = "nowhere-/?" if encoding == "ascii" else "nowhere-÷?"
    assert expected.encode(encoding) in shown.getvalue()


def test_a_console_and_a_drawing_backend_of_the_environment():
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "MPLBACKEND": "module://not.there"}
    command = [sys.executable, "-m", "latentwave", *NOWHERE]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"nowhere-/?" in done.stderr
