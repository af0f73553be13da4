"""What a trained model's mixers do, in numbers: kernels, masks, paths, losses, samples."""

from latentwave.bench.inspection.inspect import InspectedRun, Inspection, inspect_runs
from latentwave.bench.inspection.kernels import Kernels, kernels_of, named_mixers
from latentwave.bench.inspection.losses import LossTable, Mean
from latentwave.bench.inspection.spectra import decibels, haar_taps, magnitude_at

__all__ = [
    "InspectedRun",
    "Inspection",
    "Kernels",
    "LossTable",
    "Mean",
    "decibels",
    "haar_taps",
    "inspect_runs",
    "kernels_of",
    "magnitude_at",
    "named_mixers",
]
