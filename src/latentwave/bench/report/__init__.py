"""Figures and the self-contained HTML report."""

from latentwave.bench.report.console import print_summary
from latentwave.bench.report.cost_table import cost_table
from latentwave.bench.report.ladder_table import print_ladder, print_plan
from latentwave.bench.report.results import load_results
from latentwave.bench.report.table import Cell, Column, SummaryTable, summary_table
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
    "Column",
    "SummaryTable",
    "check_extra",
    "cost_table",
    "load_results",
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
