"""What a page shows, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from latentwave.bench.report.charts import Chart
from latentwave.bench.report.tables import Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it, in this order; whatever is empty is left out."""

    title: str  # the heading
    text: str = ""  # paragraphs, with an empty line between two
    charts: Sequence[Chart] = ()  # side by side where there is room
    items: Sequence[str] = ()  # a list of short texts
    table: Table | None = None  # of numbers or texts
    # the colour of a row of the table by its first cell, see `colour_name`
    swatches: Mapping[str, str] = field(default_factory=dict)
    code: str = ""  # a command or a file, character for character
    facts: Mapping[str, str] = field(default_factory=dict)  # labels and values
    parts: Sequence[Section] = ()  # sections that a click or the return key unfolds
    unfolded: bool = False  # whether this section starts unfolded where it is such a part


@dataclass(frozen=True, kw_only=True)
class Page:
    """All of a page."""

    title: str  # what it is of
    lead: str  # the finding, in one sentence
    details: str = ""  # more about it
    cautions: Sequence[str] = ()  # what makes it doubtful, a sentence each
    tiles: Sequence[tuple[str, str, str]] = ()  # label, value and note of large numbers
    sections: Sequence[Section] = ()  # the rest
