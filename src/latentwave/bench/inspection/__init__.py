"""Measures what a trained model's mixers do: kernels, masks, embedding paths, losses."""

from latentwave.bench.inspection.inspect import InspectedRun, Inspection, inspect_runs
from latentwave.bench.inspection.kernels import Kernels, kernels_of, named_mixers
from latentwave.bench.inspection.losses import LossBin, Mean
from latentwave.bench.inspection.spectra import haar_taps, magnitude_at

__all__ = [
    "InspectedRun",
    "Inspection",
    "Kernels",
    "LossBin",
    "Mean",
    "haar_taps",
    "inspect_runs",
    "kernels_of",
    "magnitude_at",
    "named_mixers",
]
