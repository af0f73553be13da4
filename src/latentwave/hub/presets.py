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
    """

    kind: str
    options: Mapping[str, Any]
    points: tuple[str, ...]

    def options_with(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The preset's options, but for those that are given or that exclude what is given."""
        own = dict(self.options)
        if {"level", "schedule"} & options.keys():
            own.pop("num_levels", None)
        return own | dict(options)


# Chosen by seconds to loss in results/best and results/ablations-small.
PRESETS: dict[str, Preset] = {
    BEST: Preset(
        kind="learnable_wavelet",
        options={"num_levels": 2, "max_taps": 4, "fraction": 1.0, "residual": True},
        points=("mlp",),
    ),
}
