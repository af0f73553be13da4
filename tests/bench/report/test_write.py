import builtins
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import image, rcParams

from latentwave.bench.report import load_results, print_summary, write_figures, write_report
from latentwave.bench.report.page import _what
from latentwave.errors import UserError
from tests.bench.report.made_up import KINDS, MANY, make_results

VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}
HOSTILE = '<script>alert(1)</script> $\\frac{1}$ & "--> <b'


class Page(HTMLParser):
    """What a browser would see: elements, attributes, text; nesting is checked on the way."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.comments = [], [], [], "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.comments.append(data)


def page_of(results, folder):
    path = write_report(results, folder)
    assert path == folder / "report.html"
    text = path.read_text(encoding="utf-8")
    return Page(text), text


@pytest.mark.parametrize(
    "results",
    [
        make_results(),
        make_results(seeds=(0,)),
        make_results(finals={"wavelet": 2.4}),
        make_results(("none",)),
    ],
    ids=["two seeds", "one seed", "not reached", "baseline alone"],
)
def test_the_page_stands_alone_and_is_well_formed(tmp_path, results):
    page, text = page_of(results, tmp_path)
    assert not re.search(r"https?:|//[a-z]", text)
    assert "@import" not in text
    for _, key, value in page.attributes:
        if key in ("src", "srcset", "href", "xlink:href", "data", "action"):
            assert value.startswith(("#", "data:"))
        assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", value))
    assert "script" not in page.tags
    assert page.tags.count("h1") == page.tags.count("main") == 1
    assert page.tags.count("caption") == page.tags.count("table")
    ids = [value for _, key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    used = {v[1:] for _, k, v in page.attributes if k in ("href", "xlink:href") and v[0] == "#"}
    used |= {t for _, _, v in page.attributes for t in re.findall(r"url\(#([^)]*)\)", v)}
    assert used <= set(ids)


def test_every_heading_cell_has_a_scope_and_every_figure_words(tmp_path):
    page, _ = page_of(make_results(), tmp_path)
    scopes = [value for tag, key, value in page.attributes if (tag, key) == ("th", "scope")]
    assert page.tags.count("th") == len(scopes)
    assert scopes.count("row") == 4
    alts = [value for _, key, value in page.attributes if key == "aria-label" and "chart" in value]
    assert len(alts) == page.tags.count("figure") == 6  # losses, gap, two of what was spent
    assert all("wavelet ends at" in alt or "wavelet at" in alt for alt in alts)


def test_the_page_says_what_was_measured(tmp_path):
    results = make_results()
    page, _ = page_of(results, tmp_path)
    words = " ".join(page.text.split())
    for wanted in (
        "wavelet reaches the baseline’s final loss 2.7× sooner in steps.",
        "[2.6, 2.7]",
        "divided by what the contestant needs",
        "num_layers: 6",
        "0123abc",
        "Example CPU 3.0 GHz",
        "torch 2.13.0",
        results["command"],
        "2,104,773 tokens",
        "PSF-2.0",
    ):
        assert wanted in words


def test_one_seed_is_said(tmp_path):
    words = " ".join(page_of(make_results(seeds=(0,)), tmp_path)[0].text.split())
    assert "One seed: no interval" in words
    assert "There was one seed" in words


def test_a_measure_that_was_not_taken_is_said(tmp_path):
    results = make_results()
    for contestant in results["contestants"].values():
        for point in contestant["curve"]:
            point["seconds"] = None
    page, _ = page_of(results, tmp_path)
    assert "Not measured: seconds." in page.text
    assert page.tags.count("figure") == 4
    assert [path.name for path in write_figures(results, tmp_path)] == [
        "loss-steps.png",
        "loss-flops.png",
        "loss.png",
        "pareto.png",
        "gap.png",
    ]


def test_drawings_leave_their_colours_to_the_style_sheet(tmp_path):
    page, text = page_of(make_results(), tmp_path)
    drawn = " ".join(v for tag, key, v in page.attributes if key == "style" and tag != "span")
    assert "var(--ink)" in drawn
    assert "var(--c0)" in drawn
    assert not re.search(r"#[0-9a-f]{6}", drawn)
    for variable in set(re.findall(r"var\((--[a-z0-9]+)\)", text)):
        assert f"{variable}:" in text.split("@media")[0]


def test_hostile_names_stay_text(tmp_path):
    results = make_results()
    results["contestants"][HOSTILE] = results["contestants"].pop("wavelet")
    results["recipe"]["name"] = results["command"] = "</pre></title><script>alert(2)</script>"
    results["environment"]["cpu"] = "<img src=x onerror=alert(3)>"
    page, _ = page_of(results, tmp_path)
    assert not {"script", "img", "b"} & set(page.tags)
    assert page.comments == []
    assert HOSTILE in page.text
    assert all(path.exists() for path in write_figures(results, tmp_path, svg=True))


def test_a_name_is_not_read_as_mathematics(tmp_path):
    results = make_results()
    results["contestants"]["$\\frac{1}$"] = results["contestants"].pop("wavelet")
    page, _ = page_of(results, tmp_path)
    assert "$\\frac{1}$ 1.886" in page.text
    assert len(write_figures(results, tmp_path)) == 6


def test_signs_that_the_font_lacks_are_said_in_one_line_for_each_figure(tmp_path, caplog):
    results = make_results()
    results["contestants"]["\u6ce2\u7684"] = results["contestants"].pop("wavelet")
    write_figures(results, tmp_path, svg=True)
    write_report(results, tmp_path)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 6
    assert (
        "gap.png lacks the signs of 1 label that its font does not have; the page shows them"
        in told
    )


def test_figures_are_pictures(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    before = [rcParams[key] for key in ("svg.fonttype", "svg.hashsalt")]
    paths = write_figures(make_results(), tmp_path / "new" / "folder")
    assert {p.name for p in paths} == {
        "loss.png",
        "loss-steps.png",
        "loss-flops.png",
        "loss-seconds.png",
        "pareto.png",
        "gap.png",
    }
    for path in paths:
        pixels = image.imread(path)
        assert min(pixels.shape[:2]) > 700
        assert np.allclose(pixels[0, 0, :3], 1.0)
        blue = np.array([0x00, 0x72, 0xB2]) / 255
        assert (np.abs(pixels[..., :3] - blue).max(-1) < 0.02).sum() > 300
    assert [rcParams[key] for key in ("svg.fonttype", "svg.hashsalt")] == before
    assert "matplotlib.pyplot" not in sys.modules


def test_svg_files_are_whole_and_the_same_each_time(tmp_path):
    first = write_figures(make_results(), tmp_path / "a", svg=True)
    again = write_figures(make_results(), tmp_path / "b", svg=True)
    assert len(first) == 12
    for one, two in zip(first, again, strict=True):
        assert one.read_bytes() == two.read_bytes()
    text = (tmp_path / "a" / "loss-steps.svg").read_text(encoding="utf-8")
    assert "wavelet 2.7×" in text
    assert text.rstrip().endswith("</svg>")


def test_who_reads_a_page_while_it_is_written_again_sees_a_whole_one(tmp_path):
    path = write_report(make_results(), tmp_path)
    before = path.read_bytes()
    with path.open("rb") as reader:
        assert write_report(make_results(seeds=(0,)), tmp_path) == path
        assert reader.read() == before
    assert path.read_bytes() != before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_a_missing_extra_is_named_and_the_table_does_without(tmp_path, monkeypatch, missing):
    real = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.split(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **keywords)

    for module in ("axes", "canvas", "drawing", "scatter", "figures", "page", "templating"):
        monkeypatch.delitem(sys.modules, f"latentwave.bench.report.{module}", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=rf'without {missing}: pip install "latentwave\[bench\]"'):
        write_report(make_results(), tmp_path)
    if missing == "matplotlib":
        with pytest.raises(UserError, match="figures cannot be made without matplotlib"):
            write_figures(make_results(), tmp_path)
    print_summary(make_results())
    assert callable(load_results)


def test_a_file_in_the_folder_s_place_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match=r"taken' is not a folder"):
        write_report(make_results(), tmp_path / "taken")


def test_thirty_contestants_are_all_in_the_page_and_few_in_colour(tmp_path):
    results = make_results(("none", *MANY, *(name for name in KINDS if name != "none")))
    page, _ = page_of(results, tmp_path)
    assert len(results["contestants"]) == 30
    words = " ".join(page.text.split())
    assert "Grey: 24 others, which the table names." in words
    # Name and final loss stand at the end of a line for the five best and the baseline alone.
    ends = [n for n, c in results["contestants"].items()
            if f"{n} {c['final_loss']['mean']:.3f}" in page.text]  # fmt: skip
    assert len(ends) == 6
    assert all(page.text.count(name) >= 2 for name in results["contestants"])


def test_the_page_says_how_it_was_measured_and_what_to_doubt(tmp_path):
    results = make_results(seeds=(0, 1, 2))
    results["clock"]["busy_cores"] = 3.0
    results["tuning"] = {
        name: {"losses": {"0.001": 2.0, "0.002": 2.1}, "chosen": 0.001, "at_end_of_grid": True}
        for name in results["contestants"]
    }
    page, _ = page_of(results, tmp_path)
    words = " ".join(page.text.split())
    for wanted in (
        "at most 75 % of the time",
        "kept 3.0 cores busy",
        "none and wavelet lies at an end of the grid",
        "Search for learning rates",
        "as many steps as its baseline, on the same tokens",
        "median of 7 rounds",
        "Does the gain last?",
        "What it costs",
        "6.68 MiB",
        "512 KiB",
    ):
        assert wanted in words


@pytest.mark.parametrize(
    ("contestant", "words"),
    [
        ({"mixer": None, "backbone": {}}, ""),
        ({"mixer": None, "backbone": {"num_layers": 8}}, "num_layers=8"),
        ({"mixer": {"kind": "name", "options": {}, "placement": "between"}}, ""),
        (
            {
                "mixer": {
                    "kind": "wavelet",
                    "options": {"level": 2, "schedule": None},
                    "placement": None,
                    "points": ["attention", "mlp"],
                },
                "backbone": {"positions": "none"},
            },
            "wavelet, level=2, at attention, mlp, positions=none",
        ),
        ({"mixer": {"kind": "ema", "options": {}, "placement": "all"}}, "ema, placement=all"),
    ],
)
def test_what_a_contestant_is_stands_under_its_name(contestant, words):
    assert _what("name", contestant) == words
