import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from latentwave.bench.data import GridWindows, prepare
from latentwave.bench.data.text.characters import ByteCodec
from latentwave.bench.inspection import InspectedRun
from latentwave.bench.inspection.losses import Mean
from latentwave.bench.report.inspection_page import inspection_page
from latentwave.bench.training import ContestantConfig, build_model, evaluate_loss, train
from tests.comparing import assert_differ, assert_same
from tests.inspected import look_into, tokens_of
from tests.tiny import tiny_backbone, tiny_recipe, write_text


def test_everything_is_seen_and_measured_on_the_same_windows(runs):
    stages = []
    seen = look_into(*runs, "adaptive", "none", on_stage=stages.append)
    assert stages == [*("kernels", "losses of adaptive", "losses of none", "masks and paths")]
    assert seen.notes == []
    assert [each.steps.tolist() for each in seen.kernels] == [[0, 2, 4, 6]] * 2
    assert set(seen.token_maps) == set(seen.paths) == {each.name for each in seen.kernels}
    assert len(seen.tokens) == 32
    windows = GridWindows(runs[1].split("validation"), 32, 9)
    for run, mean in zip(seen.runs, seen.overall.losses, strict=True):
        assert mean.value == pytest.approx(evaluate_loss(run.model, windows), rel=1e-5)
    gap = seen.overall.losses[0].value - seen.overall.losses[1].value
    assert seen.overall.difference.value == pytest.approx(gap)
    for bins in (seen.by_position, seen.by_repeat):
        assert sum(each.losses[0].count for each in bins) == 9 * 31


def test_documents_that_are_apart_count_for_themselves(tmp_path):
    (tmp_path / "documents").mkdir()
    write_text(tmp_path / "words.txt")
    text = (tmp_path / "words.txt").read_text()
    for start in range(0, len(text), 7):
        (tmp_path / "documents" / f"{start:06}.txt").write_text(text[start : start + 7])
    recipe = tiny_recipe(tmp_path / "documents", training={"separate_documents": True})
    store = prepare(recipe.corpus, tmp_path / "store")
    train(recipe, "wavelet", 0, store, tmp_path / "wavelet", console=Console(quiet=True))
    seen = look_into(tmp_path, store, "wavelet", separate_documents=True)
    windows = GridWindows(store.split("validation"), 32, 9, store.borders("validation"))
    predicted = sum(int((window["labels"][1:] != -100).sum()) for window in windows)
    assert predicted < 9 * 31
    assert sum(each.losses[0].count for each in seen.by_position) == predicted
    assert all(each.high < 7 for each in seen.by_repeat)  # of the document, not of the window
    longest = max(int(window["position_ids"].max()) for window in windows)
    assert seen.by_position[-1].low <= longest < 8

    given = np.asarray(store.split("validation")[:32])
    together = look_into(tmp_path, store, "wavelet", separate_documents=True, text=given)
    (name, *_), apart = seen.token_maps, seen.token_maps
    first = int(windows[0]["segment_ids"].bincount()[0])
    for check, columns in ((assert_same, slice(first)), (assert_differ, slice(first, None))):
        found = [each[name][0].values[:, columns] for each in (apart, together.token_maps)]
        check(*found)


def test_a_plain_backbone_still_has_losses(runs):
    seen = look_into(*runs, "none")
    assert seen.kernels == []
    assert seen.paths == {}
    assert "without mixers" in seen.notes[0]
    assert seen.overall.difference is None
    assert "no parameters" in look_into(*runs, "wavelet", num_windows=2).notes[0]


def test_the_gate_of_a_chain_is_one_of_the_parameters_of_the_mixers():
    chain = ContestantConfig(kind="chain", options={"gated": True})
    plain, mixed = (
        build_model(tiny_backbone(), contestant, vocab_size=5, seed=0)
        for contestant in (ContestantConfig(), chain)
    )
    run = InspectedRun(name="chain", folder=Path(), model=mixed, codec=ByteCodec())
    assert run.num_mixer_parameters == mixed.num_parameters() - plain.num_parameters()


@pytest.mark.parametrize(
    ("gap", "error", "words"),
    [
        (0.03, 0.01, "adaptive needs 0.030 nats per token more than none."),
        (-0.03, 0.01, "adaptive needs 0.030 nats per token less than none."),
        (0.03, 0.02, "adaptive and none cannot be told apart"),
        (0.0, 0.0, "cannot be told apart"),
        (0.0004, 0.0001, "cannot be told apart"),  # shown as 0.000
        (0.03, math.nan, "cannot be told apart"),
    ],
)
def test_the_lead_claims_no_difference_within_the_error(runs, gap, error, words):
    seen = look_into(*runs, "adaptive", "none")
    difference = Mean(value=gap, error=error, count=9)
    seen.overall = dataclasses.replace(seen.overall, difference=difference)
    assert words in inspection_page(seen, "").lead


def test_without_a_corpus_a_text_still_has_masks(runs):
    folder, store = runs
    text = tokens_of(store, "wave signal " * 4)
    seen = look_into(folder, None, "adaptive", text=text)
    assert seen.overall is None
    assert seen.tokens[:6] == [*"wave␣s"]
    assert seen.token_maps
    assert any("does not say what it was trained on" in note for note in seen.notes)
    assert any("the first 32 of 48 tokens" in note for note in seen.notes)
