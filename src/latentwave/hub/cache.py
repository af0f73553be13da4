"""Keep mixer state inside the cache that transformers passes through a model."""

import inspect
from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor
from transformers import cache_utils

from latentwave.errors import UserError
from latentwave.hub.site_states import FixedSiteState, GrowingSiteState, SiteState


class MixerStates:
    """The states of all mixers of a model, as one more layer at the end of a cache.

    Whatever transformers does to the layers of a cache (reorder for beam search, expand and select
    batches, crop, reset, copy), it therefore does to the mixers' state too.

    Args:
        static: keep every tensor at its address, as static caches do for compiled graphs.
        is_sliding: what transformers reads when it looks for a layer with or without a sliding
            window; chosen so that it never picks this one.
    """

    # Attributes that transformers reads from cache layers; these values are neutral.
    supports_early_init = False
    is_compileable = True
    is_initialized = True
    keys = values = None

    def __init__(self, *, static: bool, is_sliding: bool) -> None:
        self.static = static
        self.is_sliding = is_sliding
        # Before the current call; unknown for models outside transformers.
        self.past_tokens: int | Tensor | None = None
        self.record_past = False
        self.is_exportable = False  # whether `torch.export` finds the tensors in buffers
        self._sites: dict[str, SiteState] = {}

    def of(self, site: str) -> SiteState:
        """The state of the mixer at a site."""
        if site not in self._sites:
            if self.static and torch.compiler.is_exporting():  # attached after `prepare_export`
                _refuse_to_forget()
            self._sites[site] = (FixedSiteState if self.static else GrowingSiteState)(self, site)
        return self._sites[site]

    @property
    def cumulative_length(self) -> int | Tensor | None:
        """Tokens so far, as transformers' exportable modules read and set it in static layers."""
        return self.past_tokens

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors of all states."""
        return [tensor for site in self._sites.values() for tensor in site.tensors]

    @property
    def num_bytes(self) -> int:
        """Memory of all states, including spare room in growing buffers."""
        return sum(int(tensor.nbytes) for tensor in self.tensors)

    @property
    def is_croppable(self) -> bool:
        """Whether tokens can be removed again."""
        return not self.static and not any(site.is_recurrent for site in self._sites.values())

    def activate_past_recording(self) -> None:
        """Let `crop` remove all tokens since the last crop, not only those of the last call."""
        self.record_past = True

    def crop(self, tokens_to_remove: int | Tensor) -> None:
        """Remove the last −tokens_to_remove tokens.

        Raises:
            UserError: for a positive number, if a mixer is recurrent, or the cache static.
        """
        count = -int(tokens_to_remove)
        if count < 0:
            raise UserError(
                "crop takes the tokens to remove as a negative number, such as crop(-1) for the "
                f"last one, got {-count}"
            )
        if self.static:
            raise UserError("a static cache cannot be cropped: use a DynamicCache")
        if not self.is_croppable:
            raise UserError(
                "a recurrent mixer cannot undo tokens, so its cache cannot be cropped: "
                "generate without assisted decoding or prompt lookup"
            )
        for site in self._sites.values():
            if isinstance(site, GrowingSiteState):  # as all are outside static caches
                site.crop(count)

    def reset(self) -> None:
        """Forget all tokens."""
        if not self.static:
            self._sites.clear()
        for site in self._sites.values():
            site.apply(Tensor.zero_)

    def begin_call(self, past_tokens: int | Tensor) -> None:
        """Note how many tokens came before; if none did, clear the tensors of a static cache.

        Its length can be set back to 0 without a `reset`, as transformers' exportable modules do;
        what transformers compiles for `generate` never does that.
        """
        self.past_tokens = past_tokens
        exporting = torch.compiler.is_exporting()
        if exporting and self.static and not self.is_exportable:
            _refuse_to_forget()
        if isinstance(past_tokens, Tensor) and (exporting or not torch.compiler.is_compiling()):
            empty = past_tokens == 0
            for tensor in self.tensors:
                tensor.masked_fill_(empty.to(tensor.device), 0)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each sequence of the batch."""
        for site in self._sites.values():
            site.apply(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the chosen sequences of the batch."""
        for site in self._sites.values():
            site.apply(lambda tensor: tensor[indices.to(tensor.device)])

    reorder_cache = batch_select_indices  # for beam search

    def offload(self) -> None:
        """Do nothing: states are too small to be worth moving."""

    prefetch = offload

    def get_max_length(self) -> int:
        """Return −1, for no limit."""
        return -1


def _refuse_to_forget() -> NoReturn:
    raise UserError(
        "an exported program with a static cache would forget the mixers' state after every call: "
        "call latentwave.prepare_export on the module, with all mixers attached, before exporting"
    )


CACHE_ARGUMENTS = ("cache", "past_key_values")
"""Names of the cache argument: since transformers 5.24, and before."""


def cache_argument(model: Any) -> str:
    """Which of `CACHE_ARGUMENTS` the forward of a model takes."""
    new, old = CACHE_ARGUMENTS
    return new if new in inspect.signature(model.forward).parameters else old


def given_cache(arguments: Mapping[str, Any]) -> Any:
    """The cache among the arguments of a model, or None."""
    given = (arguments.get(name) for name in CACHE_ARGUMENTS)
    return next((cache for cache in given if cache is not None), None)


def states_in(cache: Any, num_layers: int) -> MixerStates:
    """The mixers' states in the cache of a decoder, added if the cache is empty.

    Raises:
        UserError: if the cache holds tokens that the mixers have not seen, or has no layers.
    """
    layers: list[Any] | None = getattr(cache, "layers", None)
    if layers is None:
        raise UserError(
            f"a {type(cache).__name__} cannot carry mixer state: use a DynamicCache or a "
            "StaticCache, and no continuous batching, which has its own cache"
        )
    if not (layers and isinstance(layers[-1], MixerStates)):
        layers.append(_new_states(cache, layers, num_layers))
    states: MixerStates = layers[-1]
    states.begin_call(cache.get_seq_length())
    return states


def _new_states(cache: Any, layers: list[Any], num_layers: int) -> MixerStates:
    num_tokens = cache.get_seq_length()
    if not isinstance(num_tokens, Tensor) or not torch.compiler.is_compiling():
        num_tokens = int(num_tokens)
        if num_tokens > 0:
            raise UserError(
                f"the cache holds {num_tokens} tokens that the mixers have not seen: "
                "fill it through this model, with the mixers attached, in eval mode and without "
                "packed documents"
            )
    while len(layers) < num_layers:  # a cache without a config creates its layers lazily
        layers.append((cache.layer_class_to_replicate or cache_utils.DynamicLayer)())
    attends = [layer for layer in layers if isinstance(layer, cache_utils.CacheLayerMixin)]
    return MixerStates(
        static=any(isinstance(layer, cache_utils.StaticLayer) for layer in layers),
        is_sliding=all(getattr(layer, "is_sliding", False) for layer in attends),
    )
