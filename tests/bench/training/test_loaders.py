"""No loader runs code from a checkpoint, asks whether it may, or fetches code by another name."""

import json
import shutil

import pytest
import torch

from latentwave.bench.comparison import run_harness
from latentwave.bench.data import CorpusConfig, load_codec, prepare
from latentwave.bench.training import load_run
from tests.bench.training.conftest import said_by
from tests.tiny import write_text

MAP = {name: f"code.{name}" for name in ("AutoConfig", "AutoModelForCausalLM")}
TOKENIZER_MAP = {"AutoTokenizer": ["code.Tokenizer", "code.Tokenizer"]}


def harness(folder):
    pytest.importorskip("lm_eval")
    run_harness(folder, ["none"], include_path=folder)


def corpus(folder):
    text = write_text(folder / "words.txt")
    tokenizer = {"tokenizer": "pretrained", "tokenizer_path": str(folder)}
    prepare(CorpusConfig(name="text", path=str(text), **tokenizer), folder / "store")


LOADERS = [load_run, load_codec, harness, corpus]


@pytest.fixture
def folder(finished, tmp_path, monkeypatch):
    def asked(*_):
        raise AssertionError("a loader asks whether it may run code")

    monkeypatch.setattr("builtins.input", asked)
    folder = tmp_path / "model"
    shutil.copytree(finished[0] / "model", folder)
    (folder / "manifest.json").unlink()  # as in a folder from elsewhere
    (folder / "code.py").write_text(f"open({str(tmp_path / 'was here')!r}, 'w')\n")
    yield folder
    assert not (tmp_path / "was here").exists()


def test_a_run_is_loaded_onto_the_device_that_trains(finished, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    assert load_run(finished[0])[0].device.type == "meta"
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert load_run(finished[0])[0].device.type == "cpu"


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("theirs", ["all", "tokenizer"])
@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)
def test_code_of_a_checkpoint(loader, theirs, folder):
    if theirs == "all":
        change(folder / "config.json", model_type="theirs", auto_map=MAP)
    change(folder / "tokenizer_config.json", tokenizer_class="Theirs", auto_map=TOKENIZER_MAP)
    said = said_by(lambda: loader(folder))
    assert not isinstance(said, str) or "\n" not in said


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"n_embd": 10**30}),
        ("config.json", {"id2label": 7}),
        ("generation_config.json", {"max_length": [1]}),
        ("tokenizer_config.json", {"model_max_length": {}}),
        ("config.json", "deep"),
        ("generation_config.json", "deep"),
        ("tokenizer.json", "deep"),
    ],
    ids=str,
)
def test_whatever_is_wrong_with_a_file_is_one_line(file, values, folder):
    if values == "deep":
        (folder / file).write_text("[" * 100_000)
    else:
        change(folder / file, **values)
    said = said_by(lambda: load_run(folder))
    if isinstance(said, str):
        assert "\n" not in said
        assert str(folder) in said
