"""Pages and figures as files: complete, self-contained, escaped, and reproducible."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import image, rcParams

from latentwave.bench.ladder import read_ladder
from latentwave.bench.report import write_figures, write_inspection, write_ladder, write_report
from latentwave.bench.report.charts import COLOURS
from latentwave.bench.report.inspection_charts import distinct, inspection_charts
from tests.bench.report.made_up import MANY, drawn, make_results, make_values, renamed, typed
from tests.inspected import HOSTILE, look_into, tokens_of
from tests.processes import ROOT

FIGURES = ["loss", "gap", "pareto"]
SEEN = ["kernels", "change", "masks", "paths", "positions", "repeats"]
VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}
NASTY = '<script>alert(1)</script> $\\frac{1}$ & "--> <b'


class Page(HTMLParser):
    """What a browser sees: elements, attributes, text. Parsing checks that elements nest."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.comments = [], [], [], "", []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []
        self.words = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.comments.append(data)


@pytest.fixture(scope="module")
def seen(runs):
    folder, store = runs
    return look_into(folder, store, "adaptive", "none", text=tokens_of(store, HOSTILE)[8:40])


def page_of(results, folder):
    return Page(write_report(results, folder))


@pytest.fixture(scope="module")
def page(request, seen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    if request.param == "inspection":
        return Page(write_inspection(seen, folder, command="latentwave inspect '<i>'")[0])
    return page_of(request.param, folder)


@pytest.mark.parametrize(
    "page",
    [
        make_results(),
        make_results(seeds=(0,)),
        make_results(finals={"wavelet": 2.4}),
        make_results(("none",)),
        make_results(("none", *MANY)),
        "inspection",
    ],
    ids=["two seeds", "one seed", "not reached", "baseline alone", "many", "inspection"],
    indirect=True,
)
def test_a_page_stands_alone_and_is_well_formed(page):
    assert not re.search(r"https?:|//[a-z]|@import", re.sub('base64,[^"]*', "", page.source))
    for _, key, value in page.attributes:
        if key in ("src", "srcset", "href", "xlink:href", "data", "action"):
            assert value.startswith(("#", "data:"))
        assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", value))
        assert not key.startswith("on")
    assert not {"script", "iframe", "object", "form"} & set(page.tags)
    assert page.comments == []
    assert page.tags.count("h1") == page.tags.count("main") == 1
    ids = [value for _, key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    used = {v[1:] for _, k, v in page.attributes if k in ("href", "xlink:href") and v[0] == "#"}
    used |= {t for _, _, v in page.attributes for t in re.findall(r"url\(#([^)]*)\)", v)}
    assert used <= set(ids)
    assert len(page.source) < 600_000
    # Figures are described, and tables have heads.
    figures = [v for t, k, v in page.attributes if k == "aria-label" and t == "div" and v]
    assert page.tags.count("figure") == page.tags.count("svg") <= len(figures)
    scopes = [value for tag, key, value in page.attributes if (tag, key) == ("th", "scope")]
    assert page.tags.count("th") == len(scopes)
    assert not re.search(r"\{&#39;|\[&#39;|None|True|False", page.source)


@pytest.mark.parametrize("page", [make_results(), "inspection"], indirect=True)
def test_drawings_leave_their_colours_to_the_style_sheet(page):
    drawn = " ".join(v for tag, key, v in page.attributes if key == "style")
    found = set(re.findall(r"#[0-9a-f]{6}", drawn))
    assert {COLOURS["ink"], COLOURS["c0"]} <= found
    assert found <= {*COLOURS.values(), "#000000"}
    style = page.source.split("<style>")[1]
    for name, colour in COLOURS.items():
        assert f'[style*="fill: {colour}"] {{ fill: var(--{name})' in style
    assert "prefers-color-scheme: dark" in style


def test_the_page_says_what_was_measured_and_what_to_doubt(tmp_path):
    values = make_values(seeds=(0, 1, 2), timed=False)
    values["clock"]["busy_cores"] = 3.0
    values["tuning"] = {
        name: {"losses": {"0.001": 2.0}, "chosen": 0.001, "at_end_of_grid": True, "num_steps": 9}
        for name in values["contestants"]
    }
    results = typed(values)
    page = page_of(results, tmp_path)
    for wanted in (
        "wavelet reaches the baseline’s final loss 2.7× sooner in steps.",
        "divided by what the contestant needs",
        "num_layers: 6",
        "0123abc",
        "Example CPU",
        "torch 2.13.0",
        results.command,
        "num_tokens 2,104,773",
        "name a.txt, num_bytes 12, sha256",
        "wavelet, fraction 0.5, at block",
        "at most 75 % of the time",
        "kept 3.0 cores busy",
        "none and wavelet lies at an end of the grid",
        "Search for learning rates",
        "as many steps as its baseline, on the same tokens",
        "median of 7 rounds",
        "Does the gain last?",
        "7 MB",
    ):
        assert wanted in page.words
    assert page.tags.count("figure") == 4


def test_hostile_names_stay_text(tmp_path):
    values = renamed(NASTY)
    values["recipe"]["name"] = values["command"] = "</pre></title><script>alert(2)</script>"
    values["environment"] = values["environment"] | {"cpu": "<img src=x onerror=alert(3)>"}
    page = page_of(typed(values), tmp_path)
    assert not {"script", "img", "b"} & set(page.tags)
    assert page.comments == []
    assert page.text.count(NASTY) >= 2
    assert all(path.exists() for path in write_figures(typed(values), tmp_path, svg=True))


@pytest.mark.parametrize("page", ["inspection"], indirect=True)
def test_an_inspection_says_what_was_seen(page):
    for wanted in (
        "adaptive against none – inspection",
        "latentwave inspect '<i>'",
        "<img␣src=x",
        "after layer 1: adaptive_filterbank",
        "kind adaptive_filterbank, options (num_filters 6,",
        "Change over training",
        "at step 0",
        "time-frequency mask a(t)",
    ):
        assert wanted in page.words, wanted
    assert page.tags.count("table") == 2 + 2


@pytest.mark.parametrize("group", ["points", "multipliers"])
def test_a_ladder_shows_what_it_has(tmp_path, group):
    results = read_ladder(ROOT / "results" / "ladder-gpu")
    lost = [each.model_copy(update={"loss": None}) for each in results.points]
    changed = {group: lost if group == "points" else []}
    page = Page(write_ladder(results.model_copy(update=changed), tmp_path)[0])
    assert "ladder-gpu – ladder" in page.words
    assert not re.search(r"\bnan\b|None", page.words)


def test_mixers_with_the_same_kernels_are_drawn_once(runs):
    fixed = look_into(*runs, "wavelet")
    assert (len(fixed.kernels), len(distinct(fixed.kernels))) == (2, 1)
    grids = inspection_charts(fixed)
    assert len(grids["kernels"].charts) == 3
    assert "change" not in grids
    shown = [drawn(chart).collections[0] for chart in grids["kernels"].charts[1:]]
    learned, haar = (colours.get_array() for colours in shown)
    np.testing.assert_allclose(learned, haar, atol=0.05)
    assert list(inspection_charts(look_into(*runs, "none"))) == ["positions", "repeats"]


def test_titles_say_how_many_of_many_mixers_are_drawn(runs, monkeypatch):
    monkeypatch.setattr("latentwave.bench.report.inspection_charts.MOST_SHOWN", 1)
    grids = inspection_charts(look_into(*runs, "adaptive"))
    assert grids["kernels"].title == "Kernels, the first 1 of 2"
    assert (len(grids["kernels"].charts), len(grids["masks"].charts)) == (3, 1)
    assert re.fullmatch(r"Over the tokens of a text, the first 1 of \d", grids["masks"].title)


@pytest.mark.parametrize("made", ["figures", pytest.param("inspection", marks=pytest.mark.slow)])
def test_files_are_pictures_and_the_same_each_time(seen, tmp_path, made):
    before = dict(rcParams)

    def write(folder):
        if made == "inspection":
            return write_inspection(seen, folder, svg=True)
        return write_figures(make_results(), folder, svg=True)

    paths = write(tmp_path / "new" / "folder")
    stems = FIGURES if made == "figures" else SEEN
    files = [f"{stem}.{suffix}" for stem in stems for suffix in ("png", "svg")]
    assert [path.name for path in paths][-len(files) :] == files
    for one, two in zip(paths, write(tmp_path / "again"), strict=True):
        assert one.read_bytes() == two.read_bytes()
        if one.suffix == ".png":
            pixels = image.imread(one)
            assert min(pixels.shape[:2]) > 400
            assert np.allclose(pixels[0, 0, :3], 1.0)
            assert pixels[..., :3].std() > 0.03
    assert dict(rcParams) == before
