"""The page: what the template is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from latentwave.report.curves import Panel, loss_window, make_panel
from latentwave.report.drawing import LIGHT
from latentwave.report.figures import inline_svg
from latentwave.report.formats import (
    MISSING,
    format_loss,
    format_speedup,
    format_whole,
)
from latentwave.report.headline import write_headline
from latentwave.report.results import BASELINE, MEASURES, estimate
from latentwave.report.table import summary_table

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
    """

    measure: str
    title: str
    narrow: Markup
    wide: Markup
    alt: str
    clipped: bool


def render_page(results: dict[str, Any]) -> str:
    """Render the report of a comparison.

    Args:
        results: as `load_results` returns them.

    Returns:
        A whole HTML page that refers to nothing outside itself.
    """
    environment = Environment(
        loader=PackageLoader("latentwave.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    panels = {measure: make_panel(results, measure) for measure in MEASURES}
    headline = write_headline(results)
    return environment.get_template("report.html.j2").render(
        name=results["recipe"]["name"],
        headline=headline,
        tiles=_tiles(results, headline.subject),
        table=summary_table(results),
        swatches=_swatches(results),
        mixers={name: _mixer(name, c["mixer"]) for name, c in results["contestants"].items()},
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
    baseline = results["contestants"][BASELINE]
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
    names = [name for name in results["contestants"] if name != BASELINE]
    colours = {name: f"var(--c{i % len(LIGHT.contestants)})" for i, name in enumerate(names)}
    return colours | {BASELINE: "var(--ink)"}


def _mixer(name: str, mixer: dict[str, Any] | None) -> str:
    if mixer is None:
        return ""
    options = {k: v for k, v in (mixer.get("options") or {}).items() if v is not None}
    kind = [] if mixer.get("kind") == name else [str(mixer.get("kind"))]
    return ", ".join([*kind, *(f"{key}={value}" for key, value in options.items())])


def _figure(panel: Panel) -> PageFigure:
    wide = ""
    if panel.measure == "steps":
        wide = inline_svg(panel, 940.0, 420.0, "steps-wide")
    ends = ", ".join(f"{c.name} ends at {c.final}" for c in panel.curves)
    crossings = ", ".join(
        f"{c.name} reaches the baseline’s final loss with a speed-up of {c.speedup}"
        for c in panel.curves
        if c.crossing is not None
    )
    return PageFigure(
        measure=panel.measure,
        title=f"Validation loss against {panel.label}",
        narrow=Markup(inline_svg(panel, 440.0, 335.0, panel.measure)),  # noqa: S704 (ours, escaped)
        wide=Markup(wide),  # noqa: S704
        alt=f"Line chart of validation loss against {panel.label}: {ends}"
        + (f"; {crossings}." if crossings else "."),
        clipped=loss_window(panel)[2],
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
