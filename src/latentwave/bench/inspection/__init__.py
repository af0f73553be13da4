"""What a trained model's mixers do, in numbers: kernels, masks, paths, losses, samples."""

from latentwave.bench.inspection.activity import (
    EmbeddingPath,
    Passage,
    TokenActivity,
    embedding_path,
    record_passages,
    token_activity,
)
from latentwave.bench.inspection.inspect import InspectedRun, Inspection, inspect_runs
from latentwave.bench.inspection.kernels import Kernels, kernels_of, named_mixers
from latentwave.bench.inspection.losses import (
    LossBin,
    LossTable,
    Mean,
    losses_by_class,
    losses_by_position,
    losses_overall,
)
from latentwave.bench.inspection.samples import Sample, generate_samples
from latentwave.bench.inspection.spectra import (
    FrequencyResponse,
    centre_and_bandwidth,
    decibels,
    frequency_response,
    haar_taps,
    magnitude_at,
)
from latentwave.bench.inspection.token_classes import Grouping, group_tokens, token_texts

__all__ = [
    "EmbeddingPath",
    "FrequencyResponse",
    "Grouping",
    "InspectedRun",
    "Inspection",
    "Kernels",
    "LossBin",
    "LossTable",
    "Mean",
    "Passage",
    "Sample",
    "TokenActivity",
    "centre_and_bandwidth",
    "decibels",
    "embedding_path",
    "frequency_response",
    "generate_samples",
    "group_tokens",
    "haar_taps",
    "inspect_runs",
    "kernels_of",
    "losses_by_class",
    "losses_by_position",
    "losses_overall",
    "magnitude_at",
    "named_mixers",
    "record_passages",
    "token_activity",
    "token_texts",
]
