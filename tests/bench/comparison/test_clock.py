import dataclasses
import subprocess
import sys
import time

import torch
from rich.console import Console
from transformers import GPT2LMHeadModel

from latentwave.bench.comparison.clock import OtherLoad, measure_step_seconds
from latentwave.bench.data import prepare
from latentwave.bench.training import ContestantConfig, train
from tests.tiny import tiny_recipe, write_text


def test_steps_of_all_contestants_are_timed_and_dear_ones_take_longer(tmp_path):
    recipe = tiny_recipe(write_text(tmp_path / "words.txt"))
    deep = ContestantConfig(backbone={"num_layers": 24})
    recipe = dataclasses.replace(recipe, contestants=recipe.contestants | {"deep": deep})
    seconds = measure_step_seconds(recipe, prepare(recipe.corpus, tmp_path / "store"), rounds=3)
    assert {name: len(own) for name, own in seconds.items()} == {"none": 3, "wavelet": 3, "deep": 3}
    assert min(min(own) for own in seconds.values()) > 0
    assert min(seconds["deep"]) > min(seconds["none"])


def test_the_step_that_is_timed_is_the_one_that_trains(tmp_path, monkeypatch):
    recipe = tiny_recipe(
        write_text(tmp_path / "words.txt"), training={"gradient_checkpointing": True}
    )
    store = prepare(recipe.corpus, tmp_path / "store")
    trained, timed = [], []
    step = torch.optim.AdamW.step
    forward = GPT2LMHeadModel.forward

    def noted(of):
        def noting_step(self, *arguments, **options):
            of.append((type(self), self.defaults["fused"]))
            return step(self, *arguments, **options)

        def noting_forward(self, *arguments, **options):
            if self.training:
                of.append(self.is_gradient_checkpointing)
            return forward(self, *arguments, **options)

        monkeypatch.setattr(torch.optim.AdamW, "step", noting_step)
        monkeypatch.setattr(GPT2LMHeadModel, "forward", noting_forward)

    noted(trained)
    train(recipe, "none", 0, store, tmp_path / "run", console=Console(quiet=True))
    noted(timed)
    measure_step_seconds(recipe, store, rounds=1)
    assert set(timed) == set(trained) == {True, (torch.optim.AdamW, True)}


def test_work_of_other_processes_is_seen_and_own_work_is_not():
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)
        load = OtherLoad()
        time.sleep(1.5)
        busy = load.cores()
    finally:
        other.kill()
        other.wait()
    assert busy > 0.2  # of a core; tests may share the machine
    alone = OtherLoad()
    deadline = time.perf_counter() + 1.0
    while time.perf_counter() < deadline:
        pass
    assert alone.cores() < busy + 0.5
