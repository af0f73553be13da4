import base64
import builtins
import dataclasses
import sys

import numpy as np
import pytest
from matplotlib import image

from latentwave.bench.inspection import Kernels, haar_taps
from latentwave.bench.report import write_inspection
from latentwave.bench.report.inspection.kernel_figures import distinct, draw_kernels
from latentwave.bench.report.inspection.payload import choose, make_payload, pack
from latentwave.errors import UserError
from tests.inspected import look_into

STEMS = ["kernels", "change", "masks", "paths", "positions", "classes"]


@pytest.fixture(scope="module")
def seen(runs):
    return look_into(*runs, "adaptive", "none")


@pytest.mark.slow
def test_figures_are_pictures_and_the_same_each_time(seen, tmp_path):
    first = write_inspection(seen, tmp_path / "a", svg=True)
    again = write_inspection(seen, tmp_path / "b", svg=True)
    assert [path.name for path in first] == [
        "inspect.html",
        *(f"{stem}.{suffix}" for stem in STEMS for suffix in ("png", "svg")),
    ]
    for one, two in zip(first, again, strict=True):
        assert one.read_bytes() == two.read_bytes(), one
    for stem in STEMS:
        pixels = image.imread(tmp_path / "a" / f"{stem}.png")
        assert min(pixels.shape[:2]) > 400
        assert pixels[..., :3].std() > 0.05
    text = (tmp_path / "a" / "kernels.svg").read_text(encoding="utf-8")
    assert "cycles per token" in text


def test_signs_that_the_font_lacks_are_said_in_one_line(seen, tmp_path, caplog):
    tokens = ["\u6ce2", "\u7684", *seen.tokens[2:]]
    write_inspection(dataclasses.replace(seen, tokens=tokens), tmp_path)
    told = [record.getMessage() for record in caplog.records]
    assert [each.split(" lacks ")[0] for each in told] == ["masks.png", "paths.png"]
    assert "the signs of 2 labels that its font does not have; the page shows them" in told[0]


@pytest.mark.parametrize(
    ("temperature", "top_k", "words"),
    [
        (0.8, 40, "(temperature 0.8, the 40 likeliest tokens)"),
        (1.5, None, "(temperature 1.5, all tokens)"),
        (0.0, 40, "(always the likeliest token)"),
    ],
)
def test_the_page_says_how_samples_were_drawn(seen, tmp_path, temperature, top_k, words):
    samples = [
        dataclasses.replace(sample, temperature=temperature, top_k=top_k) for sample in seen.samples
    ]
    other = dataclasses.replace(seen, samples=samples)
    assert words in write_inspection(other, tmp_path)[0].read_text(encoding="utf-8")


def test_who_reads_a_page_while_it_is_written_again_sees_a_whole_one(seen, tmp_path):
    path = write_inspection(seen, tmp_path)[0]
    before = path.read_bytes()
    with path.open("rb") as reader:
        write_inspection(seen, tmp_path, command="latentwave inspect again")
        assert reader.read() == before
    assert b"latentwave inspect again" in path.read_bytes()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["wavelet"], ["kernels", "masks", "paths", "positions", "classes"]),
        (["none"], ["positions", "classes"]),
    ],
)
def test_only_what_there_is_is_drawn(runs, tmp_path, names, stems):
    files = write_inspection(look_into(*runs, *names), tmp_path)
    assert [path.stem for path in files] == ["inspect", *stems]


def test_mixers_with_the_same_kernels_are_drawn_once(runs):
    kernels = look_into(*runs, "wavelet").kernels
    assert len(kernels) == 2
    assert len(distinct(kernels)) == 1
    axes = draw_kernels(kernels).axes
    assert len(axes) == 4  # taps, response, Haar, the scale of colours
    assert axes[0].get_title(loc="left") == "all 2 mixers"


@pytest.mark.parametrize("num_taps", [1, 2, 4, 32, 200])
def test_lags_are_whole_numbers_below_the_middles_of_their_cells(runs, num_taps):
    (kernels, *_) = look_into(*runs, "wavelet").kernels
    taps = np.random.default_rng(0).normal(size=(len(kernels.taps), num_taps))
    history = np.zeros((0, *taps.shape))
    figure = draw_kernels([dataclasses.replace(kernels, taps=taps, haar=taps, history=history)])
    figure.canvas.draw()
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    assert (low, high) == (-0.5, min(num_taps, 64) - 0.5)
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks == [round(tick) for tick in ticks]
    assert ticks[0] == 0


def test_packed_numbers_come_back():
    values = np.random.default_rng(0).normal(size=(3, 4, 5))
    packed = pack(values, np.int16)
    raw = np.frombuffer(base64.b64decode(packed["data"]), dtype="<i2").reshape(packed["shape"])
    np.testing.assert_allclose(raw * packed["scale"], values, atol=0.51 * packed["scale"])
    assert pack(np.zeros(2), np.int8)["data"] == "AAA="


@pytest.mark.parametrize("shape", [(1, 8, 512), (24, 144, 32), (24, 768, 2000), (2, 1, 1)])
def test_what_is_kept_is_bounded_and_has_both_ends(shape):
    steps, rows = choose(shape, 64, 30_000)
    assert steps[0] == rows[0] == 0
    assert steps[-1] == shape[0] - 1
    assert rows[-1] == shape[1] - 1
    least = 6 * 12 * shape[2]
    assert len(steps) * len(rows) * shape[2] <= max(30_000, least)


def test_the_page_of_a_large_model_stays_small(seen):
    import json

    taps = np.random.default_rng(0).normal(size=(144, 64))
    large = Kernels(
        name=seen.kernels[0].name,
        label="after layer 1",
        kind="filterbank",
        rows="filter",
        indices=np.arange(144),
        row_of=np.arange(144),
        taps=taps,
        haar=haar_taps(np.full(144, 6), 64),
        weights=taps[:, 0],
        centre=np.linspace(0.1, 0.4, 144),
        bandwidth=np.full(144, 0.1),
        steps=np.arange(24),
        history=np.broadcast_to(taps, (24, *taps.shape)),
        weight_history=np.broadcast_to(taps[:, 0], (24, 144)),
        learned=True,
    )
    many = dataclasses.replace(seen, kernels=[large] * 31, activity={}, paths={})
    assert len(json.dumps(make_payload(many))) < 2_000_000


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2", "plotly"])
def test_a_missing_extra_is_named(seen, tmp_path, monkeypatch, missing):
    real = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.split(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **keywords)

    for module in [m for m in sys.modules if m.startswith("latentwave.bench.report.inspection")]:
        monkeypatch.delitem(sys.modules, module)
    for module in ("canvas", "drawing", "figures", "templating"):
        monkeypatch.delitem(sys.modules, f"latentwave.bench.report.{module}", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=rf'without {missing}: pip install "latentwave\[bench\]"'):
        write_inspection(seen, tmp_path)
