"""What mixers share when they continue a sequence."""

from __future__ import annotations

from torch import Tensor

from latentwave.mixers.state import MixerState


def extend_segment_ids(
    state: MixerState, segment_ids: Tensor | None, *, history: int, signal: str = "x"
) -> Tensor | None:
    """The segment ids of the history and of the new tokens; call it before `signal` is extended.

    Args:
        state: of the mixer.
        segment_ids: (B, T) of the new tokens, or None.
        history: tokens that the mixer looks back.
        signal: the name under which the state keeps the mixer's samples.

    Returns:
        (B, history + T), or None if there are none.

    Raises:
        ValueError: if ids came with earlier calls but not with this one, or the reverse.

    Example:
        >>> import torch
        >>> state = MixerState()
        >>> extend_segment_ids(state, torch.tensor([[3, 3]]), history=1)
        tensor([[0, 3, 3]])
    """
    if segment_ids is None:
        if "segment_ids" in state:
            raise ValueError("this state was started with segment_ids: pass them at every call")
        return None
    if signal in state and "segment_ids" not in state:
        raise ValueError("this state was started without segment_ids: start a new one for them")
    return state.extend("segment_ids", segment_ids.unsqueeze(-1), history=history).squeeze(-1)
