"""Complete configurations by name: a mixer with its options and where it stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

BEST = "best"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """What `attach` takes for a name.

    Attributes:
        kind: of mixer.
        options: of that mixer.
        points: in a layer, see `attach`.
        why: one sentence: what it is good for.
    """

    kind: str
    options: Mapping[str, Any]
    points: tuple[str, ...]
    why: str


# Chosen by seconds to loss in results/best and results/ablations-small.
PRESETS: dict[str, Preset] = {
    BEST: Preset(
        kind="learnable_wavelet",
        options={"num_levels": 2, "max_taps": 4, "fraction": 1.0, "residual": True},
        points=("C",),
        why="the lowest loss for the seconds spent on small language models",
    ),
}
