"""Losses by position and by class of token, of one run or two."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from latentwave.bench.inspection import LossTable, Mean
from latentwave.bench.report.axes import LIGHT, SMALL_SIZE
from latentwave.bench.report.inspection.style import finish, inspection_figure

COLOURS = (LIGHT.contestants[0], LIGHT.ink)


def draw_positions(table: LossTable, names: list[str]) -> Figure:
    """Loss against position, and the difference of two runs; bands are 2 standard errors.

    Args:
        table: by position.
        names: of the runs.
    """
    both = len(names) == 2
    figure = inspection_figure(10.0 if both else 6.5, 3.7)
    panels: Any = figure.subplots(1, 1 + both, squeeze=False)[0]
    places = np.array([np.sqrt(each.low * each.high) for each in table.bins])
    for i, name in enumerate(names):
        means = [each.losses[i] for each in table.bins]
        _draw_band(panels[0], places, means, COLOURS[i], name)
    finish(panels[0], "loss [nats per token]", "tokens that the prediction is made from")
    _name_runs(panels[0])
    if both:
        differences = [each.difference for each in table.bins if each.difference is not None]
        panels[1].axhline(0, color=LIGHT.muted, linewidth=0.9, dashes=(4, 3))
        _draw_band(panels[1], places, differences, COLOURS[0], "")
        finish(
            panels[1],
            f"{names[0]} minus {names[1]} [nats per token]",
            "tokens that the prediction is made from",
        )
    for axes in panels:
        axes.set_xscale("log", base=2)
        axes.set_xlim(0.9, table.bins[-1].high)
        ticks = [2**k for k in range(0, table.bins[-1].high.bit_length(), 2)]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.grid(axis="y", color=LIGHT.rule, linewidth=0.8)
    return figure


def _draw_band(axes: Axes, places: Any, means: list[Mean], colour: str, name: str) -> None:
    values = np.array([mean.value for mean in means])
    errors = np.nan_to_num([mean.error for mean in means])
    axes.fill_between(
        places, values - 2 * errors, values + 2 * errors, color=colour, alpha=0.14, linewidth=0
    )
    axes.plot(places, values, color=colour, linewidth=2, marker="o", markersize=3.5, label=name)


def draw_classes(tables: list[LossTable], names: list[str]) -> Figure:
    """Loss of each class of tokens; bars are 2 standard errors.

    Args:
        tables: by class.
        names: of the runs.
    """
    counts = [len(table.bins) for table in tables]
    figure = inspection_figure(8.5, 0.9 + sum(0.42 * count + 0.55 for count in counts))
    panels: Any = figure.subplots(len(tables), 1, squeeze=False, sharex=True, height_ratios=counts)
    panels = panels[:, 0]
    for axes, table in zip(panels, tables, strict=True):
        places = np.arange(len(table.bins))[::-1]
        for i, name in enumerate(names):
            means = [each.losses[i] for each in table.bins]
            axes.errorbar(
                [mean.value for mean in means],
                places + (0.13 - 0.26 * i if len(names) == 2 else 0),
                xerr=2 * np.nan_to_num([mean.error for mean in means]),
                color=COLOURS[i],
                fmt="o",
                markersize=5.5,
                linewidth=1.6,
                label=name,
            )
        counted = [f"{each.name} ({each.losses[0].count:,})" for each in table.bins]
        axes.set_yticks(places, counted)
        axes.set_ylim(-0.6, len(table.bins) - 0.4)
        axes.set_xlim(left=0)
        axes.grid(axis="x", color=LIGHT.rule, linewidth=0.8)
        finish(axes, table.title)
        axes.tick_params(axis="y", labelsize=SMALL_SIZE, labelcolor=LIGHT.ink, length=0)
    panels[-1].set_xlabel("loss [nats per token]", fontsize=SMALL_SIZE, color=LIGHT.muted)
    _name_runs(panels[0])
    return figure


def _name_runs(axes: Axes) -> None:
    legend = axes.legend(
        frameon=False,
        fontsize=SMALL_SIZE,
        labelcolor=LIGHT.ink,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=2,
        borderaxespad=0.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
