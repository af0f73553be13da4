"""Figures, tables and self-contained pages of comparisons, ladders and inspections."""

from latentwave.bench.report.comparison import print_summary
from latentwave.bench.report.comparison_tables import cost_table, summary_table
from latentwave.bench.report.ladder import print_ladder, print_plan
from latentwave.bench.report.tables import Cell, Table
from latentwave.bench.report.write import (
    check_extra,
    make_folder,
    write_figures,
    write_inspection,
    write_ladder,
    write_piano_rolls,
    write_report,
    write_sounds,
)

__all__ = [
    "Cell",
    "Table",
    "check_extra",
    "cost_table",
    "make_folder",
    "print_ladder",
    "print_plan",
    "print_summary",
    "summary_table",
    "write_figures",
    "write_inspection",
    "write_ladder",
    "write_piano_rolls",
    "write_report",
    "write_sounds",
]
