"""What a page shows, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from latentwave.bench.report.charts import Chart
from latentwave.bench.report.tables import Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it, in this order; whatever is empty is left out.

    Attributes:
        title: the heading.
        text: paragraphs, with an empty line between two.
        charts: side by side where there is room.
        items: a list of short texts.
        table: of numbers or texts.
        swatches: the colour of a row of the table by its first cell, see `colour_name`.
        code: a command or a file, character for character.
        facts: labels and values.
        parts: sections that a click or the return key unfolds.
        unfolded: whether this section starts unfolded where it is such a part.
    """

    title: str
    text: str = ""
    charts: Sequence[Chart] = ()
    items: Sequence[str] = ()
    table: Table | None = None
    swatches: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[Section] = ()
    unfolded: bool = False


@dataclass(frozen=True, kw_only=True)
class Page:
    """All of a page.

    Attributes:
        title: what it is of.
        lead: the finding, in one sentence.
        details: more about it.
        cautions: what makes it doubtful, a sentence each.
        tiles: label, value and note of large numbers.
        sections: the rest.
    """

    title: str
    lead: str
    details: str = ""
    cautions: Sequence[str] = ()
    tiles: Sequence[tuple[str, str, str]] = ()
    sections: Sequence[Section] = ()
