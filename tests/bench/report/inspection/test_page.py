"""The page in a browser: what a person sees and can do with the keyboard alone."""

import json
import re

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from latentwave.bench.report import write_inspection
from latentwave.bench.report.inspection.kernel_figures import relative_decibels
from tests.bench.report.chromium import BINARY, open_browser
from tests.inspected import HOSTILE, look_into, tokens_of

FIGURES = (
    *("learned", "haar", "taps", "response", "distance", "centres", "map", "before", "after"),
    *("positions", "differences", "classes-0", "classes-1"),
)


@pytest.fixture(scope="module")
def seen(runs):
    folder, store = runs
    text = tokens_of(store, HOSTILE)
    return look_into(folder, store, "adaptive", "none", text=text[8:40])


@pytest.fixture(scope="module")
def page(seen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    return write_inspection(seen, folder, command="latentwave inspect '<i>'")[0]


@pytest.fixture(scope="module")
def browser():
    if BINARY is None:
        pytest.skip("there is no Chromium on the PATH")
    with open_browser() as opened:
        yield opened


@pytest.fixture
def opened(browser, page):
    browser.messages.clear()
    browser.requests.clear()
    browser.look()
    browser.open(page)
    yield browser
    assert browser.messages == []
    assert {address.partition(":")[0] for address in browser.requests} <= {"file", "data"}


def z_of(browser, figure):
    return np.array(json.loads(browser.run(f"JSON.stringify({figure}.data[0].z)")))


def reach(browser, element):
    """Press Tab until the element has the focus."""
    for _ in range(60):
        browser.press("Tab")
        if browser.run("document.activeElement.id") == element:
            return
    raise AssertionError(f"Tab does not reach {element}")


def test_every_figure_is_drawn_and_has_words(opened):
    for figure in FIGURES:
        assert opened.run(f"document.querySelectorAll('#{figure} .main-svg').length") > 0, figure
        assert len(opened.run(f"document.getElementById('{figure}').ariaLabel")) > 20
    assert opened.run("document.querySelectorAll('[role=img]').length") == len(FIGURES)
    unlabelled = "[...document.querySelectorAll('select, input')].filter((e) => !e.labels.length)"
    assert opened.run(f"{unlabelled}.length") == 0


def test_the_mixer_is_chosen_by_keyboard(opened):
    before = {figure: z_of(opened, figure) for figure in ("learned", "map")}
    paths = opened.run("JSON.stringify(after.data[0].x)")
    reach(opened, "mixer")
    assert opened.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    opened.press("ArrowDown")
    assert opened.run("document.getElementById('mixer').value") == "1"
    for figure, z in before.items():
        assert not np.array_equal(z_of(opened, figure), z), figure
    assert opened.run("JSON.stringify(after.data[0].x)") != paths
    assert "after layer 2" in opened.run("document.getElementById('learned').ariaLabel")


def test_the_training_step_is_chosen_by_keyboard(opened, seen):
    kernels = seen.kernels[0]
    assert opened.run("document.getElementById('step-value').textContent") == "6"
    for key, index, step in (("Home", 0, "0"), ("ArrowRight", 1, "2"), ("End", 3, "6")):
        if key == "Home":
            reach(opened, "step")
        opened.press(key)
        assert opened.run("document.getElementById('step-value').textContent") == step
        frequencies = np.array(json.loads(opened.run("JSON.stringify(learned.data[0].x)")))
        wanted = relative_decibels(kernels.history[index], frequencies)
        found = z_of(opened, "learned")
        assert found.shape == wanted.shape
        audible = wanted > -40
        np.testing.assert_allclose(found[audible], wanted[audible], atol=0.1)
    assert opened.run("document.getElementById('step').ariaValueText ?? ''") in ("step 6", "")


def test_scales_and_kernels_are_chosen_by_keyboard(opened, seen):
    relative = z_of(opened, "learned")
    np.testing.assert_allclose(relative.max(axis=1), 0, atol=1e-9)
    reach(opened, "scale")
    opened.press("ArrowDown")
    opened.press("ArrowDown")
    assert opened.run("document.getElementById('scale').value") == "linear"
    assert z_of(opened, "learned").min() >= 0
    reach(opened, "axis")
    opened.press("ArrowDown")
    assert opened.run("learned.data[0].x[0]") == 0
    reach(opened, "kernel")
    opened.press("End")
    last = seen.kernels[0].indices[-1]
    assert f"filter {last}: centre" in opened.run(
        "document.getElementById('kernel-value').textContent"
    )
    assert opened.run("document.querySelectorAll('#kernel-table tr').length") == 6


def test_the_path_grows_by_keyboard(opened):
    reach(opened, "upto")
    opened.press("Home")
    assert opened.run("before.data[0].x.length") == 2
    opened.press("ArrowRight")
    assert opened.run("before.data[0].x.length") == opened.run("after.data[0].x.length") == 3


def test_masks_and_activity_are_both_there(opened):
    mask = z_of(opened, "map")
    options = "[...document.getElementById('map-kind').options].map((o) => o.text).join()"
    assert opened.run(options) == "time-frequency mask a(t),sub-band activity"
    assert opened.run("document.getElementById('map-kind').selectedIndex") == 0
    reach(opened, "map-kind")
    opened.press("ArrowDown")
    assert not np.array_equal(z_of(opened, "map"), mask)


def test_figures_follow_light_and_dark(opened):
    colours = "[learned.layout.font.color, getComputedStyle(document.body).backgroundColor]"
    light = opened.run(colours)
    opened.look(scheme="dark")
    dark = opened.run(colours)
    assert light == ["#16191d", "rgb(255, 255, 255)"]
    assert dark == ["#eceff2", "rgb(20, 23, 26)"]
    assert opened.run("positions.data[1].line.color") == "#4aa8e6"
    opened.look(scheme="light")
    assert opened.run(colours) == light


def test_nothing_is_wider_than_the_window(opened):
    for width in (800, 360):
        opened.look(width=width)
        opened.wait(f"document.querySelector('#learned .main-svg').clientWidth <= {width}")
        assert opened.run("document.documentElement.scrollWidth") <= width


def test_hostile_tokens_stay_text(opened):
    assert opened.run("document.querySelectorAll('main img, main b, main i').length") == 0
    shown = opened.run("document.querySelector('#map-title').closest('section').textContent")
    assert "<img␣src=x" in shown
    ticks = opened.run(
        "[...document.querySelectorAll('#map .xtick text')].map((t) => t.textContent).join('')"
    )
    assert ticks == "".join(
        opened.run("JSON.parse(document.getElementById('data').textContent).tokens")
    )


def test_the_network_is_out_of_reach(browser, page):
    browser.look()
    browser.open(page)
    answer = browser.run("fetch('https://localhost:1/').then(() => 'reached', (e) => e.name)")
    assert answer == "TypeError"
    assert any("Content Security Policy" in text for _, text in browser.messages)
    assert (
        browser.run(
            "(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
            "document.body.append(s); return window.ran ?? 0; })()"
        )
        == 0
    )


@pytest.mark.slow
def test_a_page_without_mixers_has_what_is_left(browser, runs, tmp_path):
    folder, store = runs
    path = write_inspection(look_into(folder, store, "none"), tmp_path)[0]
    browser.messages.clear()
    browser.look()
    browser.open(path)
    assert browser.messages == []
    assert browser.run("document.querySelectorAll('.main-svg').length") > 0
    assert browser.run("document.getElementById('mixer')") is None
    assert "without mixers" in browser.run("document.body.textContent")


@pytest.mark.slow
def test_a_page_of_fixed_kernels_has_no_training_steps(browser, runs, tmp_path):
    folder, store = runs
    path = write_inspection(look_into(folder, store, "wavelet", "none"), tmp_path)[0]
    browser.messages.clear()
    browser.look()
    browser.open(path)
    assert browser.messages == []
    assert browser.run("document.getElementById('step')") is None
    z = z_of(browser, "learned")
    np.testing.assert_allclose(z, z_of(browser, "haar"), atol=0.05)


def test_the_page_stands_alone_and_is_small(page):
    text = page.read_text(encoding="utf-8")
    plotly = get_plotlyjs()
    assert text.count(plotly) == 1
    own = text.replace(plotly, "")
    assert len(own) < 200_000
    words = re.sub(r'"data":"[^"]*"', "", own)  # base64 may hold two slashes
    assert re.findall(r"https?:|[^:]//[a-z]|@import|url\(", words) == []
    assert own.count("<script") == 3
    assert "unsafe-eval" not in own
    assert "default-src 'none'" in own
