"""The classes of transformers models and their decoders while mixers are attached."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, PretrainedConfig

from latentwave.errors import UserError
from latentwave.hub.cache import cache_argument, given_cache, states_in
from latentwave.hub.calls import CURRENT, Call, call_by_user, use_call, user_call
from latentwave.hub.mixed_layers import check_layers
from latentwave.hub.padding import Padding, find_documents, find_padding
from latentwave.hub.swapping import Swapped, swap_class


class MixedModel(Swapped):
    """A transformers model that contains mixers."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Add `segment_ids` to a forward that accepts extra keyword arguments.

        The Trainer drops data set columns that the signature does not name. The decoder gets the
        documents through the thread's call: many heads do not pass extra arguments on.
        """
        super().__init_subclass__(**options)
        if "_swapped_from" not in vars(cls):
            return
        plain: Any = cls._swapped_from.forward
        if issubclass(cls, MixedDecoder):
            cls.forward = _bypassed(plain)
            return
        signature = inspect.signature(plain)
        *named, last = signature.parameters.values()
        if last.kind is not inspect.Parameter.VAR_KEYWORD:
            return

        @functools.wraps(plain)
        def forward(
            self: nn.Module, *args: Any, segment_ids: Tensor | None = None, **kwargs: Any
        ) -> Any:
            if segment_ids is None:
                segment_ids = kwargs.get("seq_idx")
            if segment_ids is None:
                return plain(self, *args, **kwargs)
            with use_call(call_by_user(segment_ids=segment_ids)):
                return plain(self, *args, **kwargs)

        documents = inspect.Parameter("segment_ids", inspect.Parameter.KEYWORD_ONLY, default=None)
        forward.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*named, documents, last]
        )
        cls.forward = forward

    def save_pretrained(self, *args: Any, **options: Any) -> Any:
        """Save under the names in memory.

        The old format of some models renames parts of any name, such as "mlp" in Mixtral, and the
        mixers would not be found again.
        """
        options.setdefault("save_original_format", False)
        return super().save_pretrained(*args, **options)  # type: ignore[misc]

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Let the mixers of a draft model record its drafts, so that these can be cropped."""
        prepared = super()._prepare_cache_for_generation(  # type: ignore[misc]
            generation_config, model_kwargs, *args, **kwargs
        )
        cache = given_cache(model_kwargs)
        # None if the mixers were detached from a model inside this one.
        decoder = next((each for each in self.modules() if isinstance(each, MixedDecoder)), None)
        if generation_config.is_assistant and cache is not None and decoder is not None:
            states_in(cache, len(decoder._mixed_entries)).activate_past_recording()
        return prepared

    def init_continuous_batching(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse continuous batching here, in the caller's thread."""
        if any(isinstance(module, MixedDecoder) for module in self.modules()):
            raise UserError(
                "continuous batching uses its own paged cache, which cannot hold the mixers' "
                "state: use generate() with a padded batch, or detach(model) first"
            )
        return super().init_continuous_batching(*args, **kwargs)  # type: ignore[misc]


def mix_models(model: nn.Module) -> None:
    """Swap the class of every generating model in a model to `MixedModel`."""
    for module in model.modules():
        generates = hasattr(type(module), "init_continuous_batching")
        if generates and not isinstance(module, MixedModel):
            swap_class(module, MixedModel)


class MixedDecoder(MixedModel):
    """A transformers decoder that provides the mixers with the context of each call."""

    _mixed_arguments: tuple[str, ...]
    _mixed_cache: str  # its argument for the cache
    _mixed_config: PretrainedConfig
    _mixed_list: str  # path of its list of layers
    _mixed_entries: list[nn.Module]  # the list at the last check

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the decoder."""
        if not isinstance(self, MixedDecoder):  # detached since `torch.compile` stored this method
            return type(self).__call__(self, *args, **kwargs)
        return self._in_call(super().__call__, args, kwargs)

    def _in_call(
        self, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run with the context that the arguments give."""
        kwargs |= dict(zip(self._mixed_arguments, args, strict=False))
        entries = list(getattr(self, self._mixed_list))
        if len(entries) != len(self._mixed_entries) or any(
            one is not other for one, other in zip(entries, self._mixed_entries, strict=True)
        ):
            check_layers(self)
            self._mixed_entries = entries
        with use_call(self._call_from(kwargs)):
            return run(**kwargs)

    def _call_from(self, kwargs: dict[str, Any]) -> Call | None:
        cache = given_cache(kwargs)
        names = ("input_ids", "inputs_embeds", "hidden_states")
        tokens = next((kwargs[name] for name in names if kwargs.get(name) is not None), None)
        if tokens is None:
            return None  # the model raises its own error
        outer = user_call()
        documents = kwargs.pop("segment_ids", None), kwargs.get("seq_idx"), outer.segment_ids
        segment_ids = next((ids for ids in documents if ids is not None), None)
        # The configuration may have been replaced or changed since attach.
        config = getattr(self, "config", self._mixed_config).get_text_config(decoder=True)
        mask = kwargs.get("attention_mask")
        use_cache = kwargs.get("use_cache")
        if use_cache is None:
            use_cache = getattr(config, "use_cache", False)
        if self.training and torch.is_grad_enabled():  # transformers caches nothing it checkpoints
            use_cache = use_cache and not getattr(self, "gradient_checkpointing", False)
        created = cache is None and use_cache and not self.training
        if created:
            cache = kwargs[self._mixed_cache] = DynamicCache(config=config)
        states = None
        if cache is not None:
            if segment_ids is not None:
                raise UserError(
                    "packed documents (segment_ids or seq_idx) cannot be continued from a cache: "
                    "pass use_cache=False"
                )
            if created:  # nobody asked for it
                segment_ids = find_documents(mask, tokens.shape[1], wait=True)
            if segment_ids is None:
                states = states_in(cache, len(self._mixed_entries))
        elif segment_ids is None and mask is not None:
            segment_ids = find_documents(mask, tokens.shape[1])
        elif segment_ids is None and (not use_cache or _is_flash(config)):
            # Beside a cache, any other attention ignores the borders too.
            segment_ids = _documents(kwargs.get("position_ids"), tokens)
        real = find_padding(mask, tokens.shape[1], cache, config)
        padding = outer.padding if real is None else Padding.of(real)
        return Call(states=states, segment_ids=segment_ids, padding=padding, decoder=self)


def _bypassed(plain: Any) -> Any:
    """The forward of a decoder, which `torch.compile(decoder)` before attach calls directly."""

    @functools.wraps(plain)
    def forward(self: MixedDecoder, *args: Any, **kwargs: Any) -> Any:
        call = CURRENT.call
        if call is not None and call.decoder is self:
            return plain(self, *args, **kwargs)
        return self._in_call(functools.partial(plain, self), args, kwargs)

    return forward


def mix_decoder(module: nn.Module, config: PretrainedConfig) -> None:
    """Make a transformers decoder provide its mixers with the context of each call."""
    decoder: Any = module
    decoder._mixed_arguments = tuple(inspect.signature(decoder.forward).parameters)
    decoder._mixed_cache = cache_argument(decoder)
    decoder._mixed_config = config
    decoder._mixed_entries = list(getattr(decoder, decoder._mixed_list))
    swap_class(decoder, MixedDecoder)


def _is_flash(config: PretrainedConfig) -> bool:
    """Whether attention is a kind of flash attention, which reads documents from positions."""
    return "flash" in (getattr(config, "_attn_implementation", None) or "")


def _documents(position_ids: Tensor | None, tokens: Tensor) -> Tensor | None:
    """Packed documents from position ids: each starts where they do not increase by one.

    Attention uses the same rule when there is neither a mask nor a cache.
    """
    if position_ids is None or position_ids.dim() != 2 or position_ids.shape[1] != tokens.shape[1]:
        return None
    begins = position_ids.diff(dim=1) != 1
    return F.pad(begins.cumsum(dim=1), (1, 0)).expand(tokens.shape[0], -1)
