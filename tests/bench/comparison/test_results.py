import json
import math
import os
from pathlib import Path

import pytest

from latentwave.bench.comparison import Estimate, read_results, write_results
from latentwave.errors import UserError
from tests.bench.comparison.made_up import edited, made_up_results

COMMITTED = sorted((Path(__file__).parents[3] / "results").glob("*/results.json"))
RESULTS = made_up_results({"none": [2.5, 2.6], "wavelet": [2.0, 2.2]})


def test_what_is_written_is_read(tmp_path):
    write_results(RESULTS, tmp_path)
    assert read_results(tmp_path) == read_results(str(tmp_path / "results.json")) == RESULTS


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_results_are_read_and_written_the_same(path, tmp_path):
    write_results(read_results(path), tmp_path)
    assert (tmp_path / "results.json").read_text() == path.read_text()


def test_a_diverged_run_has_no_numbers(tmp_path):
    write_results(made_up_results({"none": [2.5], "wavelet": [None]}), tmp_path)
    wavelet = read_results(tmp_path).contestants["wavelet"]
    nothing = Estimate(mean=None)
    assert wavelet.final_loss == wavelet.gain == wavelet.speedup.steps == nothing
    assert not wavelet.reached
    assert Estimate(mean=math.nan, low=-math.inf) == nothing


WAVELET = ("contestants", "wavelet")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["environment"], ..., "environment: Field required"),
        (["recipe", "name"], ..., "the recipe has no name"),
        (["seeds"], [], "seeds: List should have at least 1 item"),
        (["clock", "step_seconds"], {}, "clock.step_seconds has no contestant 'none'"),
        (["contestants", "none"], ..., "contestants must include 'none', found 'wavelet'"),
        ([*WAVELET, "baseline"], "deep", "no contestant 'deep', which 'wavelet' is measured"),
        ([*WAVELET, "final_loss", "mean"], ..., r"wavelet\.final_loss\.mean: Field required"),
        ([*WAVELET, "bits_per"], {}, "wavelet.bits_per has other keys than 'none'"),
        ([*WAVELET, "curve", 3, "loss"], "low", r"wavelet\.curve\.3\.loss: .*number"),
        ([*WAVELET, "curve", 3, "losses"], [1.0], r"curve\.3 has 1 losses for 2 seeds"),
        ([*WAVELET, "colour"], "red", r"wavelet\.colour: Extra inputs are not permitted"),
    ],
)
def test_the_first_wrong_field_is_named_in_one_line(tmp_path, path, value, message):
    (tmp_path / "results.json").write_text(json.dumps(edited(RESULTS, path, value)))
    with pytest.raises(UserError, match=rf"results\.json is damaged \(.*{message}") as caught:
        read_results(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 10**5, b"null"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(UserError, match=r"results\.json is damaged \("):
        read_results(tmp_path)


@pytest.mark.parametrize("make", [None, os.mkdir, os.mkfifo])
def test_missing_and_irregular_files_are_refused(tmp_path, make):
    if make is not None:
        make(tmp_path / "results.json")
    with pytest.raises(UserError, match=r"is (missing|not a regular file): give the folder"):
        read_results(tmp_path)
