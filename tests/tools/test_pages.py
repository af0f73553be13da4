"""The blocks of pages, written by cog as `make results` does."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import pytest
from cogapp import Cog

from benchmarks.measure import Benchmarks, Row
from latentwave.bench.comparison import Estimate, Results, write_results
from latentwave.errors import UserError
from tests.bench.comparison.made_up import edited, made_up_results
from tests.processes import ROOT
from tools.comparisons import read_checked

PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]
DEMO = made_up_results({"none": [2.5, 2.6], "wavelet": [2.0, 2.2]})


def run_cog(*arguments):
    """Run cog and return its exit code and what it printed."""
    output = io.StringIO()
    cog = Cog()
    cog.set_output(stdout=output, stderr=output)
    with contextlib.redirect_stderr(output):
        code = cog.main(["cog", "-p", "from tools.pages import *", *arguments])
    return code, output.getvalue()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with some results and a folder for a page."""
    (tmp_path / "results" / "demo").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    write_results(DEMO, tmp_path / "results" / "demo")
    (tmp_path / "results" / "demo" / "loss.png").touch()
    (tmp_path / "results" / "speeds.txt").write_text("# one\na 1\n# two\nb 2\n")
    monkeypatch.chdir(tmp_path)
    read_checked.cache_clear()
    yield tmp_path
    read_checked.cache_clear()


def written(call):
    """The lines that a block writes, except empty ones."""
    page = Path("docs/page.md")
    page.write_text(f"# Title\n\n<!-- [[[cog {call} ]]] -->\n<!-- [[[end]]] -->\n")
    code, said = run_cog("-r", str(page))
    assert code == 0, said
    assert run_cog("--check", str(page))[0] == 0
    return [line for line in page.read_text().splitlines()[3:-1] if line]


def test_a_table_has_a_row_for_each_contestant_and_its_origin_below(repository):
    *rows, origin = written('table("demo", "loss gain steps seconds", by_loss=True)')
    assert rows == [
        "| contestant | final loss, nats per token | gain, nats | speed-up in steps | "
        "speed-up in seconds |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| `wavelet` | 2.100 [2.000, 2.200] | 0.450 [0.400, 0.500] | 1.3× [1.3, 1.3] | "
        "1.3× [1.3, 1.3] |",
        "| `none` | 2.550 [2.500, 2.600] | — | 1× | 1× |",
    ]
    assert origin == (
        "<sub>[demo/results.json](../results/demo/results.json): `latentwave compare "
        "recipes/made-up.yaml` · commit 0123abc · seeds 0, 1, brackets: bootstrap intervals over "
        "them · Example CPU, 2 cores, 2 threads, torch 2.13.0</sub>"
    )


def test_folds_are_pairs(repository):
    folds = [{"none": 0.5, "bank": 0.6, "lost": 0.8}, {"none": 0.7, "bank": 0.9, "lost": None}]
    for fold, accuracies in enumerate(folds, start=1):
        results = made_up_results({name: [2.0] for name in accuracies}, metrics_split="test")
        for name, value in accuracies.items():
            results.contestants[name].metrics["accuracy"] = Estimate(mean=value)
        folder = Path(f"results/esc/fold-{fold}")
        folder.mkdir(parents=True)
        write_results(results, folder)
    *rows, origin = written('folds("esc")')
    assert rows == [
        "| contestant | fold 1 | fold 2 | mean | gain |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| `none` | 0.500 | 0.700 | 0.600 [0.500, 0.700] | — |",
        "| `bank` | 0.600 | 0.900 | 0.750 [0.600, 0.900] | 0.150 [0.100, 0.200] |",
        "| `lost` | 0.800 | — | — | — |",
    ]
    assert "fold-1/results.json](../results/esc/fold-1/results.json): `latentwave" in origin


def test_settings_that_were_searched_come_best_first(repository):
    def tried(setting, **losses):
        return {"setting": setting, "losses": losses}

    decay, batch = {"training.decay_fraction": 0.4}, {"training.batch_size": 8}
    diverged = tried({"backbone.qk_norm": False}, **{"1000": None})
    found = {
        "tried": [tried(batch, **{"1000": 1.32}), tried(decay, **{"1000": 1.33}), diverged],
        "finalists": [tried(decay, **{"1": 1.2, "2": 1.4}), tried(batch, **{"1": 1.4, "2": 1.4})],
        "environment": DEMO.environment.model_dump() | {"commit": "89abcdef"},
    }
    Path("results/demo/search.json").write_text(json.dumps(found))
    *rows, origin = written('searched("demo", "latentwave search x")')
    assert rows == [
        "| changed | loss, seed 1000 | loss, seed 1, 2 |",
        "| --- | ---: | ---: |",
        "| decay_fraction 0.4 | 1.3300 | 1.3000 |",
        "| batch_size 8 | 1.3200 | 1.4000 |",
        "| qk_norm no | diverged | — |",
    ]
    assert "`latentwave search x` · commit 89abcde · Example" in origin
    Path("results/demo/search.json").write_text(json.dumps(found | {"finalists": []}))
    assert written('searched("demo", "x")')[:1] == ["| changed | loss, seed 1000 |"]


def test_what_was_not_measured_or_not_reached(repository):
    finals = {"none": [2.0], "gone": [None], "worse": [2.5]}
    write_results(made_up_results(finals), Path("results/demo"))
    rows = written('table("demo", "loss gain flops context-512", by_loss=True)')[2:5]
    assert rows == [
        "| `none` | 2.000 | — | 1× | — |",
        "| `worse` | 2.500 | −0.500 | 0.75×, not reached | — |",
        "| `gone` | — | — | — | — |",
    ]
    assert "one seed (0), no interval" in written('table("demo", "loss")')[-1]


def test_figures_and_texts(repository):
    picture, origin = written('figure("demo", "loss.png", "Loss", command="inspect it")')
    assert picture == "![Loss](../results/demo/loss.png)"
    assert "`inspect it` · commit 0123abc · Example" in origin
    assert "seeds" not in origin
    assert written('text("speeds.txt", "make bench", section="two")') == [
        "```text",
        "# two",
        "b 2",
        "```",
        "<sub>`make bench`: [results/speeds.txt](../results/speeds.txt)</sub>",
    ]


def a_row(group, what, **facts):
    return Row(group=group, what=what, setting="2×8×4", unit="ms", against="conv1d", **facts)


def test_benchmarks_are_shown_by_group_with_what_they_missed(repository):
    assert written("benchmarks()") == [
        "*Not yet run: `make bench` writes `results/benchmarks.json`.*"
    ]
    rows = [
        a_row("a", "fast", ours=2.0, reference=1096.0, ratio=548.0, reads="faster", error=1e-7),
        a_row("a", "step", ours=33.1, reference=30.0, ratio=1.1034, at_most=1.03),
        a_row("b", "rate", ours=6.0, reference=8.0, ratio=0.75, at_least=0.6),
    ]
    machine = DEMO.environment.model_dump()
    facts = {"environment": machine, "load": 0.1, "quick": False, "seconds": 9, "failed": ["c"]}
    found = Benchmarks(rows=rows, **facts)
    found.write(Path("results/benchmarks.json"))
    assert Benchmarks.read(Path("results/benchmarks.json")) == found
    titles = [
        "| what | sizes | ours | reference | which is | ratio | target | error |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    group_b = ["**b**", *titles, "| rate | 2×8×4 | 6 ms | 8 | conv1d | 0.750 | ≥ 0.6: met |  |"]
    *lines, origin = written("benchmarks()")
    assert lines == [
        "**a**",
        *titles,
        "| fast | 2×8×4 | 2 ms | 1,096 | conv1d | 548× faster |  | 1e-07 |",
        "| step | 2×8×4 | 33.1 ms | 30 | conv1d | 1.103 | ≤ 1.03: **missed** |  |",
        *group_b,
    ]
    assert origin == (
        "<sub>[results/benchmarks.json](../results/benchmarks.json): `make bench` · commit 0123abc "
        "· Example CPU, 2 cores, 2 threads, torch 2.13.0 · c failed</sub>"
    )
    assert written('benchmarks("b")')[:-1] == group_b
    with pytest.raises(AssertionError, match="has no group d, only"):
        written('benchmarks("d")')


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('table("nowhere", "loss")', "results/nowhere is missing"),
        ('table("demo", "los")', "there is no column 'los'; choose loss, gain"),
        ('figure("demo", "no.png", "x")', "there is no results/demo/no.png"),
        ('searched("demo", "x")', "there is no results/demo/search.json"),
        ('text("no.txt", "y")', "UserError: there is no results/no.txt"),
        ('text("speeds.txt", "y", section="three")', "has no section 'three'"),
    ],
)
def test_a_mistake_in_a_block_names_its_page(repository, call, message):
    with pytest.raises(AssertionError, match=rf"(?s)docs/page\.md.*{message}"):
        written(call)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("final_loss.mean", 2.0),
        ("final_loss.low", None),
        ("gain.high", 0.6),
        ("speedup.steps.mean", 2.0),
        ("speedup.seconds.mean", 2.0),
        ("reached", False),
        ("bits_per.character.mean", 3.0),
        ("tokens_per_second", 7.0),
        ("flops_per_token", 7.0),
        ("curve.3.losses", [2.0, 2.0]),
        ("curve.3.loss", 2.0),
        ("curve.3.flops", 7.0),
        ("curve.3.seconds", 7.0),
    ],
)
def test_a_number_edited_by_hand_is_found(repository, path, value):
    keys = [int(key) if key.isdigit() else key for key in path.split(".")]
    values = edited(DEMO, ["contestants", "wavelet", *keys], value)
    write_results(Results(**values), Path("results/demo"))
    place = r"results\.json: contestants\.wavelet\.[\w.]+ is \S+, but its curves give \S+; run"
    with pytest.raises(UserError, match=place):
        read_checked(Path("results/demo"))


@pytest.fixture
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_every_page_says_what_the_results_give(at_root):
    code, said = run_cog("--check", "--diff", *PAGES)
    assert code == 0, said


def test_every_result_is_shown():
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    for path in (ROOT / "results").glob("*/results.json"):
        assert f'[[[cog table("{path.parent.name}"' in pages


def test_a_changed_page_fails_the_check_with_the_difference(at_root, tmp_path):
    page = tmp_path / "results.md"
    shutil.copy("docs/results.md", page)
    page.write_text(page.read_text().replace("| `wavelet` |", "| `wavelets` |"))
    code, said = run_cog("--check", "--diff", str(page))
    assert code != 0
    assert "-| `wavelets` |" in said
