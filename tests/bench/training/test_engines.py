"""One recipe, one loss curve: on one process, on two with DDP and FSDP2, and in smaller passes."""

import dataclasses
import json
import shutil

import pytest
import torch
import torch.distributed as dist
from rich.console import Console
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

import latentwave.bench.training.engine as engine_module
import latentwave.bench.training.run as run_module
from latentwave.bench.data import GridWindows, prepare
from latentwave.bench.training import (
    ContestantConfig,
    TrainingConfig,
    build_model,
    evaluate_loss,
    load_run,
    read_result,
    settle_compilation,
    train,
)
from latentwave.bench.training.engine import prepare_model, shard_model
from latentwave.errors import UserError
from latentwave.hub import attached_mixers, from_pretrained
from tests.bench.training.conftest import QUIET
from tests.comparing import assert_differ
from tests.processes import run_processes
from tests.tiny import tiny_recipe, write_text

# Learned kernels, which go through every engine; the bank starts as the identity.
CONTESTANTS = {
    "learnable": ContestantConfig(kind="learnable_wavelet"),
    "bank": ContestantConfig(kind="filterbank", options={"num_filters": 6, "kernel_size": 8}),
}
# 7 windows cannot be shared fairly by two processes.
BASE = {"num_evaluation_windows": 7}
TWO_PROCESSES = {
    "ddp": ("learnable", {"engine": "ddp"}),
    "fsdp2": ("learnable", {"engine": "fsdp2"}),
    "bank-fsdp2": ("bank", {"engine": "fsdp2"}),
    "ddp-small": ("learnable", {"gradient_accumulation_steps": 2, "gradient_checkpointing": True}),
    "fsdp2-small": (
        "learnable",
        {"engine": "fsdp2", "gradient_accumulation_steps": 2, "gradient_checkpointing": True},
    ),
    "ddp-separate": ("learnable", {"separate_documents": True}),
    "fsdp2-bfloat16": ("learnable", {"engine": "fsdp2", "precision": "bfloat16"}),
}


# Two processes refuse these before the run has a folder.
REFUSED = [
    ({"batch_size": 3}, "batch_size=3 cannot be divided by 2 processes"),
    ({"engine": "fsdp2", "optimizer": "muon"}, "'muon' needs whole matrices.*engine='ddp'"),
]


def recipe_with(text, **training):
    return tiny_recipe(text, contestants=CONTESTANTS, training=BASE | training)


def train_one(text, store, folder, name="learnable", *, resume=False, console=QUIET, **training):
    recipe = recipe_with(text, **training)
    return train(recipe, name, 0, store, folder, resume=resume, console=console)


def losses(folder):
    return [point.loss for point in read_result(folder).curve]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Documents of nine words: about five borders in every two windows."""
    folder = tmp_path_factory.mktemp("texts")
    for index in range(300):
        write_text(folder / f"{index:03}.txt", num_words=9, seed=index)
    return folder


@pytest.fixture(scope="module")
def store(text, tmp_path_factory):
    return prepare(tiny_recipe(text).corpus, tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="module")
def alone(text, store, tmp_path_factory):
    """The curves of one process."""
    folder = tmp_path_factory.mktemp("alone")
    for name in CONTESTANTS:
        train_one(text, store, folder / name, name)
    train_one(text, store, folder / "separate", separate_documents=True)
    return folder


@pytest.fixture(scope="module")
def together(text, store, alone, tmp_path_factory):
    """All runs of two processes, trained by the same pair."""
    folder = tmp_path_factory.mktemp("together")
    run_processes(2, _train_all, folder, folder, text, store, alone)
    return folder


def cut(source, target):
    """A run that was killed after its fourth step."""
    shutil.copytree(source, target)
    for later in ("checkpoints/checkpoint-8", "model"):
        shutil.rmtree(target / later)
    (target / "result.json").unlink()
    return target


def _train_all(rank, folder, text, store, alone):
    for engine in ("ddp", "fsdp2"):
        target = folder / f"{engine}-resumed"
        if rank == 0:
            cut(alone / "learnable", target)
        dist.barrier()
        train_one(text, store, target, resume=True, engine=engine)
    for name, (contestant, options) in TWO_PROCESSES.items():
        with open(folder / f"said-{name}-{rank}.txt", "w") as file:
            console = Console(file=file, width=200)
            result = train_one(text, store, folder / name, contestant, console=console, **options)
        assert result == read_result(folder / name)
    backbone = recipe_with(text).backbone
    model = build_model(backbone, CONTESTANTS["learnable"], vocab_size=27, seed=0)
    shard_model(model)
    for mixer in attached_mixers(model).values():
        for parameter in mixer.parameters():
            assert isinstance(parameter, DTensor)
            assert len(parameter.to_local()) == len(parameter) // 2
    for options, message in REFUSED:
        with pytest.raises(UserError, match=message):
            train_one(text, store, folder / "odd", "bank", **options)
    with pytest.raises(UserError, match=r"exists: choose another"):
        train_one(text, store, folder / "ddp")


@pytest.mark.parametrize("name", TWO_PROCESSES)
def test_two_processes_give_the_curve_of_one(name, alone, together):
    contestant, options = TWO_PROCESSES[name]
    tolerance = 2e-2 if "precision" in options else 1e-5
    expected = losses(alone / ("separate" if "separate_documents" in options else contestant))
    assert losses(together / name) == pytest.approx(expected, rel=tolerance)
    assert losses(together / name)[-1] < losses(together / name)[0]
    sharded = options.get("engine") == "fsdp2"
    wrapper = "FSDPModule (fully_shard)" if sharded else "DistributedDataParallel"
    environment = read_result(together / name).environment
    assert (environment["wrapper"], environment["num_processes"]) == (wrapper, 2)
    assert wrapper in (together / f"said-{name}-0.txt").read_text()


def test_separate_documents_are_another_task(alone, store):
    assert_differ(losses(alone / "separate"), losses(alone / "learnable"))
    model, _ = load_run(alone / "separate")
    grid, borders = store.split("validation"), store.borders("validation")
    apart = evaluate_loss(model, GridWindows(grid, 32, 7, borders))
    assert apart == pytest.approx(losses(alone / "separate")[-1], rel=1e-5)
    assert apart != pytest.approx(evaluate_loss(model, GridWindows(grid, 32, 7)), rel=1e-4)


@pytest.mark.parametrize("engine", ["ddp", "fsdp2"])
def test_a_run_goes_on_with_more_or_fewer_processes(engine, alone, together, text, store, tmp_path):
    more = together / f"{engine}-resumed"
    assert losses(more) == pytest.approx(losses(alone / "learnable"), rel=1e-5)
    assert read_result(more).environment["num_processes"] == 2
    fewer = cut(together / engine, tmp_path / "run")
    result = train_one(text, store, fewer, resume=True)
    assert losses(fewer) == pytest.approx(losses(together / engine), rel=1e-5)
    assert result.environment["num_processes"] == 1


def test_only_the_first_process_speaks_and_writes(together):
    for name in TWO_PROCESSES:
        assert "step 8/8" in (together / f"said-{name}-0.txt").read_text()
        assert (together / f"said-{name}-1.txt").read_text() == ""
        assert len(list((together / name / "tensorboard").iterdir())) == 1
        assert not (together / "odd").exists()


def weights_of(run):
    return load_file(run / "model" / "model.safetensors")


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_the_saved_model_is_plain_and_whole(name, alone, together, store):
    folder = together / name / "model"
    saved, expected = weights_of(together / name), weights_of(alone / "learnable")
    assert saved.keys() == expected.keys()
    for key, tensor in saved.items():
        # Adam takes a full step even for a gradient of rounding errors.
        torch.testing.assert_close(tensor, expected[key], rtol=1e-3, atol=1e-4)
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["GPT2LMHeadModel"]
    grid = GridWindows(store.split("validation"), 32, 7)
    loss = evaluate_loss(from_pretrained(folder), grid, batch_size=2)
    assert loss == pytest.approx(losses(together / name)[-1], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"gradient_accumulation_steps": 2}, 1e-5),
        ({"gradient_accumulation_steps": 4, "gradient_checkpointing": True}, 1e-5),
        ({"precision": "bfloat16"}, 2e-2),
    ],
)
def test_one_process_in_other_ways(options, tolerance, alone, text, store, tmp_path):
    result = train_one(text, store, tmp_path / "run", **options)
    assert result.environment["wrapper"] == "none"
    assert losses(tmp_path / "run") == pytest.approx(losses(alone / "learnable"), rel=tolerance)
    if "precision" in options:
        runs = tmp_path / "run", alone / "learnable"
        weights = [weights_of(run)["transformer.wte.weight"] for run in runs]
        assert_differ(*weights, share=1e-4)


def test_what_is_compiled_without_being_asked(text, store, tmp_path, monkeypatch):
    recipe = recipe_with(text)
    steps = recipe.training.num_steps
    longer = {"long": ContestantConfig(num_steps=2 * steps)}

    def compiled(recipe):
        return settle_compilation(recipe, store).training.compile

    for least, expected in ((steps, True), (steps + 1, False)):
        monkeypatch.setattr(TrainingConfig, "LONG", least)
        assert compiled(recipe) is expected
        # One long contestant decides for all, as their seconds are compared.
        assert compiled(dataclasses.replace(recipe, contestants=recipe.contestants | longer))
        for asked in (True, False):
            assert compiled(recipe_with(text, compile=asked)) is asked
    # Labelled examples differ in length.
    monkeypatch.setattr(TrainingConfig, "LONG", 1)
    assert compiled(dataclasses.replace(recipe, task="classification")) is False


@pytest.mark.skipif(
    not hasattr(PreTrainedModel, "activation_checkpointing_enable"), reason="the old name alone"
)
def test_activations_are_recomputed_where_transformers_has_the_new_name_alone(text, monkeypatch):
    monkeypatch.delattr(PreTrainedModel, "gradient_checkpointing_enable")
    monkeypatch.setattr(PreTrainedModel, "_is_overridden", lambda *_: False)  # looks for it
    recipe = recipe_with(text, gradient_checkpointing=True)
    model = build_model(recipe.backbone, CONTESTANTS["learnable"], vocab_size=27, seed=0)
    assert not prepare_model(model, recipe.training)
    assert model.is_gradient_checkpointing


def test_compilation_that_does_not_work(alone, text, store, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "_compile_fault", lambda: "no compiler")
    with pytest.warns(UserWarning, match=r"torch.compile does not work here.*no compiler"):
        result = train_one(text, store, tmp_path / "run", compile=True)
    assert result.environment["compiled"] is False
    assert losses(tmp_path / "run") == losses(alone / "learnable")


@pytest.mark.slow
@pytest.mark.unchecked
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, in tracing
@pytest.mark.parametrize("contestant", CONTESTANTS)
def test_compiled(contestant, alone, text, store, tmp_path):
    result = train_one(text, store, tmp_path / "run", contestant, compile=True)
    assert result.environment["compiled"] is True
    assert losses(tmp_path / "run") == pytest.approx(losses(alone / contestant), rel=1e-4)


def test_an_engine_that_steps_aside_is_noticed(alone, text, store, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "expected_wrapper", lambda _: "DistributedDataParallel")
    with pytest.raises(RuntimeError, match="must be DistributedDataParallel.*but are none"):
        train_one(text, store, tmp_path / "run")
