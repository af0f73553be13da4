"""Figures, tables and self-contained pages of comparisons, ladders and inspections."""

from latentwave.bench.report.comparison import cost_table, print_summary, summary_table
from latentwave.bench.report.ladder_tables import print_ladder, print_plan
from latentwave.bench.report.media import piano_roll_charts, sound_charts
from latentwave.bench.report.write import (
    make_folder,
    write_charts,
    write_figures,
    write_inspection,
    write_ladder,
    write_report,
)

__all__ = [
    "cost_table",
    "make_folder",
    "piano_roll_charts",
    "print_ladder",
    "print_plan",
    "print_summary",
    "sound_charts",
    "summary_table",
    "write_charts",
    "write_figures",
    "write_inspection",
    "write_ladder",
    "write_report",
]
