"""The numbers in the docs are what the code gives."""

import json
import re
from pathlib import Path

import pytest

import latentwave as lw
from latentwave.analysis import measure_cost
from latentwave.hub import attached_mixers
from latentwave.training import BackboneConfig, ContestantConfig, build_model

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
    assert attached_mixers(model)[0].receptive_field == int(receptive_field)


def test_the_readme_quotes_the_committed_result():
    root = Path(__file__).parents[1]
    readme = (root / "README.md").read_text()
    results = json.loads((root / "results" / "demo" / "results.json").read_text())
    assert results["seeds"] == [0, 1, 2]
    for contestant in results["contestants"].values():
        final = contestant["final_loss"]
        assert f"{final['mean']:.3f} [{final['low']:.3f}, {final['high']:.3f}]" in readme
        assert f"| {contestant['tokens_per_second'] / 1e3:.1f} k |" in readme
    for speedup in results["contestants"]["wavelet"]["speedup"].values():
        assert f"{speedup['mean']:.1f} [{speedup['low']:.1f}, {speedup['high']:.1f}]" in readme


RESULTS = Path(__file__).parents[1] / "results"
SMALL = re.findall(
    r"^\| `(\w+)-small` \| `(\w+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+)× \| ([\d.]+)× \| (.*?) \|$",
    (RESULTS / "README.md").read_text(),
    flags=re.M,
)


def test_every_small_result_is_quoted():
    quoted = {name for name, *_ in SMALL}
    assert {path.name for path in RESULTS.glob("*-small")} == {f"{name}-small" for name in quoted}


@pytest.mark.parametrize("row", SMALL, ids=lambda row: f"{row[0]}-{row[1]}")
def test_the_small_results_are_quoted_as_they_are(row):
    name, contestant, baseline, loss, steps, seconds, metric = row
    results = json.loads((RESULTS / f"{name}-small" / "results.json").read_text())
    own, plain = results["contestants"][contestant], results["contestants"]["none"]
    assert f"{plain['final_loss']['mean']:.3f}" == baseline
    assert f"{own['final_loss']['mean']:.3f}" == loss
    assert f"{own['speedup']['steps']['mean']:.2f}" == steps
    assert f"{own['speedup']['seconds']['mean']:.2f}" == seconds
    if metric != "–":
        both = [f"{c['metrics']['accuracy']['mean']:.3f}" for c in (plain, own)]
        assert metric == f"accuracy {both[0]} → {both[1]}"


def test_the_generating_speeds_are_quoted_as_they_are():
    page = (Path(__file__).parents[1] / "docs" / "bring-your-model.md").read_text()
    text = (RESULTS / "generate.txt").read_text()
    blocks = re.findall(r"^\w+: plain ([\d.]+) tokens/s\n((?:  .*\n)+)", text, flags=re.M)
    assert len(blocks) == 3
    for plain, rest in blocks:
        ratios = re.findall(r", ([\d.]+) of the plain", rest)
        assert f"| {plain} tokens/s | {' | '.join(ratios)} |" in page
