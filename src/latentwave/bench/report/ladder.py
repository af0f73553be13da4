"""What a ladder found, as figures and one page."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import yaml
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentwave.bench.ladder.results import LadderResults, Multiplier
from latentwave.bench.report.axes import LIGHT, SMALL_SIZE, TEXT_SIZE, Palette, line_style
from latentwave.bench.report.canvas import new_figure, save_png
from latentwave.bench.report.figures import inline_svg
from latentwave.bench.report.formats import MISSING, format_count, format_loss, format_share
from latentwave.bench.report.ladder_table import signed, times
from latentwave.bench.report.templating import load_template
from latentwave.bench.training import BASELINE

_WIDTH, _HEIGHT = 9.6, 3.4
_AT = 20.0  # tokens per parameter of the figure against size


def save_ladder_figures(results: LadderResults, folder: Path) -> list[Path]:
    """The figures of the page as PNG files."""
    paths = []
    for stem, draw in _figures(results).items():
        path = folder / f"{stem}.png"
        save_png(draw(LIGHT), path, dpi=160)
        paths.append(path)
    return paths


def render_ladder(results: LadderResults) -> str:
    """The page: figures, tables and the recipe, with nothing outside itself."""
    figures = [
        {"title": _TITLES[stem], "svg": Markup(inline_svg(draw, stem))}  # noqa: S704 - ours
        for stem, draw in _figures(results).items()
    ]
    settings = list(dict.fromkeys(point.setting for point in results.points))
    return load_template("ladder.html.j2").render(
        name=results.recipe["name"],
        lead=headline(results),
        figures=figures,
        settings=[(name, _rows(results, name), _losses(results, name)) for name in settings],
        costs=[
            (
                c.setting,
                c.size,
                c.contestant,
                format_count(c.num_parameters),
                format_share(c.num_mixer_parameters / c.num_parameters),
                _speed(c.tokens_per_second),
            )
            for c in results.costs
        ],
        held_out=results.held_out,
        searches=results.searches,
        environments=results.environments,
        command=results.command,
        recipe=yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True),
    )


def headline(results: LadderResults) -> str:
    """One sentence: what the contestant that saves most at the largest size buys there."""
    setting = next(iter(results.recipe["settings"]))
    own = [m for m in results.multipliers if m.setting == setting and m.tokens is not None]
    sizes = [size for size in results.recipe["sizes"] if any(m.size == size for m in own)]
    if not own:
        return "No contestant has been trained beside the plain decoder yet."
    last = [m for m in own if m.size == sizes[-1]]
    longest = max(m.budget for m in last)
    best = max((m for m in last if m.budget == longest), key=lambda m: m.gain.mean)
    beyond = ", by extrapolation" if best.extrapolated else ""
    return (
        f"At {best.size} parameters and {longest:g} tokens per parameter {best.contestant} reaches "
        f"what the plain decoder needs {times(best.tokens)} the tokens for{beyond} "
        f"({signed(best.gain)} nats)."
    )


_TITLES = {
    "multipliers": "Tokens that the plain decoder needs for the same loss ÷ tokens used",
    "sizes": f"The same at {_AT:g} tokens per parameter, against size",
    "losses": "Loss against compute, a line for each contestant and size",
}


def _figures(results: LadderResults) -> dict[str, Callable[[Palette], Figure]]:
    return {
        "multipliers": lambda palette: _draw_multipliers(results, palette),
        "sizes": lambda palette: _draw_sizes(results, palette),
        "losses": lambda palette: _draw_losses(results, palette),
    }


def _draw_multipliers(results: LadderResults, palette: Palette) -> Figure:
    """One panel per contestant of the headline's setting, one line per size."""
    own = _headline_multipliers(results)
    names = list(dict.fromkeys(m.contestant for m in own))
    columns = min(4, max(1, len(names)))
    rows = math.ceil(len(names) / columns) or 1
    figure = new_figure(_WIDTH, 2.5 * rows + 0.5, palette.paper, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    sizes = list(results.recipe["sizes"])
    for panel, name in zip(panels.flat, names, strict=False):
        _style(panel, palette, name)
        for index, size in enumerate(sizes):
            line = sorted(
                (m for m in own if m.contestant == name and m.size == size),
                key=lambda m: m.budget,
            )
            _plot(panel, [m.budget for m in line], line, index, palette, size)
        panel.axhline(1, color=palette.muted, linewidth=0.8)
    if names:
        first = panels.flat[0]
        first.set_xscale("log", base=2)
        first.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        _limit(first, own)
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    if names:
        panels.flat[0].legend(fontsize=SMALL_SIZE, frameon=False, labelcolor=palette.ink)
    figure.supxlabel("tokens per parameter", fontsize=TEXT_SIZE, color=palette.muted)
    return figure


def _draw_sizes(results: LadderResults, palette: Palette) -> Figure:
    own = [m for m in _headline_multipliers(results) if m.budget == _AT]
    parameters = _parameters(results)
    figure = new_figure(_WIDTH * 0.7, _HEIGHT, palette.paper, layout="constrained")
    panel = figure.subplots()
    _style(panel, palette, "")
    for index, name in enumerate(dict.fromkeys(m.contestant for m in own)):
        line = [m for m in own if m.contestant == name]
        _plot(panel, [parameters[m.size] for m in line], line, index, palette, name)
    panel.axhline(1, color=palette.muted, linewidth=0.8)
    if own:
        panel.set_xscale("log")
        _limit(panel, own)
    panel.set_xlabel("parameters of the plain decoder", fontsize=TEXT_SIZE, color=palette.muted)
    if own:
        panel.legend(
            fontsize=SMALL_SIZE,
            frameon=False,
            labelcolor=palette.ink,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
        )
    return figure


def _draw_losses(results: LadderResults, palette: Palette) -> Figure:
    setting = next(iter(results.recipe["settings"]))
    flops = {
        (c.size, c.contestant): c.flops_per_token for c in results.costs if c.setting == setting
    }
    names = list(dict.fromkeys(p.contestant for p in results.points if p.setting == setting))
    figure = new_figure(_WIDTH * 0.7, _HEIGHT, palette.paper, layout="constrained")
    panel = figure.subplots()
    _style(panel, palette, "validation loss [nats per token]")
    for index, name in enumerate(names):
        slot = -1 if name == BASELINE else index - 1
        style = line_style(slot, palette)
        for size in results.recipe["sizes"]:
            means: dict[float, list[float]] = {}
            for p in results.points:
                if (p.setting, p.contestant, p.size) == (setting, name, size) and p.loss:
                    means.setdefault(p.tokens * flops[size, name], []).append(p.loss)
            x = sorted(means)
            y = [sum(means[each]) / len(means[each]) for each in x]
            label = name if size == next(iter(results.recipe["sizes"])) else None
            panel.plot(x, y, marker="o", markersize=3, label=label, **(style | {"linewidth": 1}))
    if names:
        panel.set_xscale("log")
    panel.set_xlabel("FLOPs of training", fontsize=TEXT_SIZE, color=palette.muted)
    panel.legend(
        fontsize=SMALL_SIZE,
        frameon=False,
        labelcolor=palette.ink,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )
    return figure


def _plot(
    panel: Axes,
    x: list[float],
    line: list[Multiplier],
    slot: int,
    palette: Palette,
    *labels: str,
) -> None:
    pairs = [
        (at, m.tokens)
        for at, m in zip(x, line, strict=True)
        if m.tokens is not None and math.isfinite(m.tokens.mean)
    ]
    if not pairs:
        return
    style = line_style(slot, palette)
    means = [each.mean for _, each in pairs]
    low = [0 if each.low is None else each.mean - each.low for _, each in pairs]
    high = [0 if each.high is None else each.high - each.mean for _, each in pairs]
    errors = [[max(0.0, each) for each in low], [max(0.0, each) for each in high]]
    at = [place for place, _ in pairs]
    panel.errorbar(at, means, yerr=errors, elinewidth=0.8, capsize=2, label=labels[0], **style)
    beyond = [
        (a, m.tokens.mean) for a, m in zip(x, line, strict=True) if m.tokens and m.extrapolated
    ]
    panel.plot(
        [each[0] for each in beyond],
        [each[1] for each in beyond],
        "o",
        markerfacecolor=palette.paper,
        markeredgecolor=style["color"],
        markersize=5,
    )


def _limit(panel: Axes, shown: list[Multiplier]) -> None:
    """Leave room for the multipliers; long intervals of extrapolations reach out of the frame."""
    means = [m.tokens.mean for m in shown if m.tokens is not None and math.isfinite(m.tokens.mean)]
    panel.set_ylim(min([0.8, *means]) * 0.95, max([1.2, *means]) * 1.2)


def _style(panel: Axes, palette: Palette, title: str) -> None:
    panel.set_facecolor("none")
    for side, spine in panel.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(palette.muted)
    panel.grid(axis="y", color=palette.rule, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(length=0, colors=palette.muted, labelsize=SMALL_SIZE)
    panel.set_title(title, color=palette.muted, fontsize=TEXT_SIZE, loc="left")


def _headline_multipliers(results: LadderResults) -> list[Multiplier]:
    setting = next(iter(results.recipe["settings"]))
    return [m for m in results.multipliers if m.setting == setting]


def _parameters(results: LadderResults) -> dict[str, int]:
    return {c.size: c.num_parameters for c in results.costs if c.contestant == BASELINE}


def _rows(results: LadderResults, setting: str) -> list[tuple[str, ...]]:
    return [
        (
            m.contestant,
            m.size,
            f"{m.budget:g}",
            str(m.num_seeds),
            signed(m.gain),
            *(times(each, m.extrapolated) for each in (m.tokens, m.flops, m.seconds)),
        )
        for m in results.multipliers
        if m.setting == setting
    ]


def _losses(results: LadderResults, setting: str) -> list[tuple[str, ...]]:
    found: dict[tuple[str, str, float], list[float]] = {}
    for p in results.points:
        if p.setting == setting and p.loss is not None:
            found.setdefault((p.contestant, p.size, p.budget), []).append(p.loss)
    return [
        (name, size, f"{budget:g}", format_loss(sum(own) / len(own)), str(len(own)))
        for (name, size, budget), own in found.items()
    ]


def _speed(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.0f}"
