"""The page: what the template is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from markupsafe import Markup

from latentwave.bench.report.axes import LIGHT
from latentwave.bench.report.cautions import cautions
from latentwave.bench.report.cost_table import cost_table
from latentwave.bench.report.curves import Panel, loss_window, make_panel
from latentwave.bench.report.drawing import in_colour
from latentwave.bench.report.figures import (
    PARETO_MEASURES,
    draw_gap_panel,
    draw_panel,
    draw_pareto_panel,
    inline_svg,
    numbered,
)
from latentwave.bench.report.formats import (
    MISSING,
    format_loss,
    format_speedup,
    format_whole,
)
from latentwave.bench.report.gaps import GapPanel, make_gaps
from latentwave.bench.report.headline import write_headline
from latentwave.bench.report.method import budget_in_words, clock_in_words, tuning_table
from latentwave.bench.report.pareto import ParetoPanel, make_pareto
from latentwave.bench.report.ranking import slots
from latentwave.bench.report.results import MEASURES, estimate
from latentwave.bench.report.table import summary_table
from latentwave.bench.report.templating import load_template
from latentwave.bench.training import BASELINE

_WORDS = {"steps": "steps", "flops": "FLOPs", "seconds": "seconds"}


@dataclass(frozen=True)
class PageFigure:
    """One figure of the page.

    Attributes:
        measure: "steps", "flops" or "seconds".
        title: what it shows.
        narrow: the drawing for small spaces.
        wide: the drawing for the page's full width, or nothing.
        alt: what it shows, in words.
        clipped: whether early losses lie above the frame.
        num_grey: contestants that it does not tell apart.
    """

    measure: str
    title: str
    narrow: Markup
    wide: Markup
    alt: str
    clipped: bool = False
    num_grey: int = 0


def render_page(results: dict[str, Any]) -> str:
    """Render the report of a comparison.

    Args:
        results: as `load_results` returns them.

    Returns:
        A whole HTML page that refers to nothing outside itself.
    """
    panels = {measure: make_panel(results, measure) for measure in MEASURES}
    spent = [panel for measure in PARETO_MEASURES if (panel := make_pareto(results, measure))]
    gaps = make_gaps(results)
    headline = write_headline(results)
    return load_template("report.html.j2").render(
        name=results["recipe"]["name"],
        headline=headline,
        tiles=_tiles(results, headline.subject),
        cautions=cautions(results),
        table=summary_table(results),
        costs=cost_table(results),
        tuning=tuning_table(results),
        budget=budget_in_words(results),
        clock=clock_in_words(results),
        pareto=[_pareto_figure(panel) for panel in spent],
        numbers=numbered(spent),
        gap=None if gaps is None else _gap_figure(gaps),
        swatches=_swatches(results),
        mixers={name: _what(name, c) for name, c in results["contestants"].items()},
        figures=[_figure(panel) for panel in panels.values() if panel],
        not_measured=[_WORDS[m] for m, panel in panels.items() if panel is None],
        num_seeds=len(results["seeds"]),
        facts=_facts(results),
        versions=results["environment"]["versions"],
        command=results["command"],
        recipe=yaml.safe_dump(results["recipe"], sort_keys=False, allow_unicode=True),
    )


def _tiles(results: dict[str, Any], subject: str) -> list[tuple[str, str, str]]:
    """Label, value and note of the large numbers; none where only the baseline ran."""
    if subject == BASELINE:
        return []
    contestant = results["contestants"][subject]
    baseline = results["contestants"][contestant["baseline"]]
    without = "one seed" if len(results["seeds"]) == 1 else ""
    tiles = []
    for measure in MEASURES:
        factor, interval = format_speedup(*estimate(contestant["speedup"][measure]))
        if not contestant["reached"]:
            note = "not reached" if factor == MISSING else "to its own lowest loss"
        else:
            note = "not measured" if factor == MISSING else interval or without
        tiles.append((f"speed-up in {_WORDS[measure]}", factor, note))
    theirs = format_loss(baseline["final_loss"]["mean"])
    tiles.append(("final loss", format_loss(contestant["final_loss"]["mean"]), f"against {theirs}"))
    return tiles


def _swatches(results: dict[str, Any]) -> dict[str, str]:
    """The style-sheet colour of each contestant, as in the figures."""
    colours = len(LIGHT.contestants)
    return {
        name: "var(--rule)" if i is None else "var(--ink)" if i < 0 else f"var(--c{i % colours})"
        for name, i in slots(results).items()
    }


def _what(name: str, contestant: dict[str, Any]) -> str:
    """What a contestant adds to the backbone and changes in it, beyond what its name says."""
    parts = [f"{key}={value}" for key, value in (contestant.get("backbone") or {}).items()]
    mixer = contestant["mixer"]
    if mixer is not None:
        kind = mixer.get("kind")
        options = (mixer.get("options") or {}).items()
        parts = [
            *([] if kind == name else [str(kind)]),
            *(f"{key}={value}" for key, value in options if value is not None),
            *([f"at {', '.join(mixer['points'])}"] if mixer.get("points") else []),
            *parts,
        ]
        if mixer.get("placement") not in (None, "between"):
            parts.append(f"placement={mixer['placement']}")
    return ", ".join(parts)


def _figure(panel: Panel) -> PageFigure:
    wide = ""
    if panel.measure == "steps":
        wide = inline_svg(lambda palette: draw_panel(panel, 940.0, 420.0, palette), "steps-wide")
    shown = in_colour(panel)
    ends = ", ".join(f"{c.name} ends at {c.final}" for c in shown)
    crossings = ", ".join(
        f"{c.name} reaches the baseline’s final loss with a speed-up of {c.speedup}"
        for c in shown
        if c.crossing is not None
    )
    narrow = inline_svg(lambda palette: draw_panel(panel, 440.0, 335.0, palette), panel.measure)
    return PageFigure(
        measure=panel.measure,
        title=f"Validation loss against {panel.label}",
        narrow=Markup(narrow),  # noqa: S704 (ours, escaped)
        wide=Markup(wide),  # noqa: S704
        alt=f"Line chart of validation loss against {panel.label}: {ends}"
        + (f"; {crossings}." if crossings else "."),
        clipped=loss_window(panel)[2],
        num_grey=len(panel.curves) - len(shown),
    )


def _gap_figure(panel: GapPanel) -> PageFigure:
    shown = [gap for gap in panel.gaps if gap.slot is not None]
    ends = ", ".join(f"{gap.name} ends at {gap.final} nats" for gap in shown)
    draw = (
        inline_svg(lambda palette: draw_gap_panel(panel, 440.0, 335.0, palette), "gap"),
        inline_svg(lambda palette: draw_gap_panel(panel, 940.0, 400.0, palette), "gap-wide"),
    )
    return PageFigure(
        measure="steps",  # as wide as these
        title=f"Gain over the baseline against {panel.label}",
        narrow=Markup(draw[0]),  # noqa: S704
        wide=Markup(draw[1]),  # noqa: S704
        alt=f"Line chart of the gain in validation loss against {panel.label}: {ends}.",
        num_grey=len(panel.gaps) - len(shown),
    )


def _pareto_figure(panel: ParetoPanel) -> PageFigure:
    front = ", ".join(f"{point.name} at {format_loss(point.loss)}" for point in panel.front)
    name = f"pareto-{panel.measure}"
    narrow = inline_svg(lambda palette: draw_pareto_panel(panel, 440.0, 380.0, palette), name)
    return PageFigure(
        measure=panel.measure,
        title=f"Final validation loss against {panel.label}",
        narrow=Markup(narrow),  # noqa: S704
        wide=Markup(""),
        alt=f"Scatter chart of final validation loss against {panel.label}; on the front, from the "
        f"cheapest to the best: {front}.",
    )


def _facts(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Where and on what it ran; what was not recorded is left out."""
    environment, corpus = results["environment"], results["corpus"]
    size = f"{format_whole(corpus['num_tokens'])} tokens"
    vocabulary = "raw samples"
    if corpus["vocab_size"]:
        vocabulary = f"vocabulary of {format_whole(corpus['vocab_size'])} symbols"
    rates = corpus.get("units_per_token", {})
    facts = [
        ("Corpus", f"{corpus['name']}: {size}, {vocabulary}"),
        *((f"{unit.capitalize()}s per token", f"{rate:.4g}") for unit, rate in rates.items()),
        ("Classes", corpus.get("num_classes")),
        ("Seeds", ", ".join(str(seed) for seed in results["seeds"])),
        ("CPU", environment.get("cpu")),
        ("Accelerator", environment.get("accelerator") or "none"),
        ("Threads", environment.get("threads")),
        ("Platform", environment.get("platform")),
        ("Commit", environment.get("commit")),
        *((f"Corpus {key}", value) for key, value in _provenance(corpus).items()),
    ]
    return [(label, str(value)) for label, value in facts if value is not None]


def _provenance(corpus: dict[str, Any]) -> dict[str, Any]:
    provenance = corpus.get("provenance")
    if not isinstance(provenance, dict):
        return {} if provenance is None else {"provenance": provenance}
    return {str(key).replace("_", " "): value for key, value in provenance.items()}
