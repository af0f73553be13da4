"""The numbers in the docs are what the code gives."""

import re
from pathlib import Path

import pytest

import latentwave as lw
from latentwave.bench.comparison import measure_cost
from latentwave.bench.training import BackboneConfig, ContestantConfig, build_model
from latentwave.hub import all_mixers

PAGE = (Path(__file__).parents[1] / "docs" / "mixers.md").read_text()
ROWS = re.findall(
    r"^\| `(\w+)` \| ([\d,]+) \| ([\d.]+) % \| ([\d.]+) % \| (\d+) \|", PAGE, flags=re.M
)


@pytest.fixture(scope="module")
def plain_flops():
    model = build_model(BackboneConfig(), ContestantConfig(), vocab_size=27, seed=0)
    cost = measure_cost(model, 512)
    assert f"{cost.num_parameters:,} parameters" in PAGE
    assert f"{cost.flops_per_token / 1e6:.1f} MFLOP" in PAGE
    return cost.flops_per_token


def test_every_kind_has_a_row():
    assert sorted(row[0] for row in ROWS) == lw.list_mixers()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_costs_of_the_published_backbone(row, plain_flops):
    kind, parameters, share, flops, receptive_field = row
    model = build_model(BackboneConfig(), ContestantConfig(kind=kind), vocab_size=27, seed=0)
    cost = measure_cost(model, 512)
    assert f"{cost.num_mixer_parameters:,}" == parameters
    assert f"{100 * cost.num_mixer_parameters / cost.num_parameters:.3f}" == share
    assert f"{100 * (cost.flops_per_token / plain_flops - 1):.3f}" == flops
    assert all_mixers(model)[0].mixer.receptive_field == int(receptive_field)
