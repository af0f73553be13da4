import dataclasses
import math

import pytest

from latentwave.bench.comparison import clock
from latentwave.bench.comparison.clock import Clock, read_measured, take_clock, write_measured
from latentwave.bench.training import ContestantConfig


def test_steps_of_all_contestants_are_timed_and_deeper_ones_take_longer(experiment):
    recipe, store = experiment
    deep = ContestantConfig(backbone={"num_layers": 24})
    recipe = dataclasses.replace(recipe, contestants=recipe.contestants | {"deep": deep})
    seconds = take_clock(recipe, store, rounds=3).step_seconds
    assert {name: len(own) for name, own in seconds.items()} == {"none": 3, "wavelet": 3, "deep": 3}
    assert min(min(own) for own in seconds.values()) > 0
    assert min(seconds["deep"]) > min(seconds["none"])


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 7), (1e9, 9)], ids=["long", "short"])
def test_short_steps_are_timed_in_more_rounds(experiment, monkeypatch, seconds, rounds):
    monkeypatch.setattr(clock, "LONG_ENOUGH", seconds)
    monkeypatch.setattr(clock, "MOST_ROUNDS", 9)
    found = take_clock(*experiment).step_seconds
    assert {len(own) for own in found.values()} == {rounds}


def test_a_machine_that_slows_down_within_a_round_favours_nobody():
    seconds = {"none": [1.0, 1.0, 3.0, 3.0, 3.0], "ema": [1.1, 1.1, 1.1, 3.3, 3.3]}
    steady = Clock(step_seconds=seconds, busy_cores=None, environment={})
    assert steady.seconds_per_step("none") == pytest.approx(2.05 / 1.05)
    assert steady.seconds_per_step("ema") == pytest.approx(1.1 * 2.05 / 1.05)


def test_processes_that_compile_the_first_steps_do_not_count_as_busy(experiment, monkeypatch):
    order = []
    monkeypatch.setattr(clock, "_stepper", lambda *_: (lambda number: order.append(number) or 1, 0))
    monkeypatch.setattr(clock, "busy_cores", lambda own: order.append("busy") or 0.5)
    assert take_clock(*experiment, rounds=1).busy_cores == 0.5
    assert order == [0, 0, 0, 0, "busy", 1, 1, "busy"]


SETTING = {"budget": "seconds", "windows": (1, 2)}
CLOCK = {"step_seconds": {"none": [0.1, 0.2]}, "busy_cores": 0.0, "environment": {"cpu": "x"}}


@pytest.mark.parametrize(
    ("schema", "values"), [(Clock, CLOCK), (list[float], [1.0, math.nan])], ids=["clock", "losses"]
)
def test_measurements_are_read_for_their_setting_only(tmp_path, schema, values):
    path = tmp_path / "made" / "clock.json"
    write_measured(path, SETTING, values)
    found = read_measured(path, SETTING, schema)
    assert str(found) == str(Clock(**CLOCK) if schema is Clock else values)
    assert read_measured(path, SETTING | {"budget": "flops"}, schema) is None
    steps = (None, [], {"none": []}, {"none": [0.0]}, {"none": ["x"]}, {"none": [-1.0]})
    for other in [None, 7, ["x"], {}, *(CLOCK | {"step_seconds": value} for value in steps)]:
        write_measured(path, SETTING, other)
        assert read_measured(path, SETTING, schema) is None


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b'{"setting": 7}', b'{"setting": {}}'])
def test_damaged_measurements_are_ignored(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    assert read_measured(tmp_path / "x.json", {}, list[float]) is None
