"""What a model costs: parameters, floating-point operations and memory."""

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, PreTrainedModel

from latentwave.bench.comparison.results import DecodingCost, ModelCost
from latentwave.bench.data import TokenStore
from latentwave.bench.training import Recipe, open_objective
from latentwave.bench.training.evaluation import in_mode
from latentwave.bench.training.objective import check_fits
from latentwave.hub import all_mixers
from latentwave.hub.cache import MixerStates, cache_argument
from latentwave.hub.points import point_of


def contestant_cost(recipe: Recipe, name: str, store: TokenStore) -> ModelCost:
    """`measure_cost` of a recipe's contestant, built for this purpose."""
    objective = open_objective(recipe, store)
    check_fits(objective)
    inputs, num_tokens = objective.one_item()
    return measure_cost(objective.build(recipe.contestants[name], seed=0), num_tokens, inputs)


def measure_cost(
    model: PreTrainedModel, num_tokens: int, inputs: dict[str, Any] | None = None
) -> ModelCost:
    """Count a model's parameters, operations and memory.

    torch's counter gives the backbone's operations in one forward pass (matrix products, attention
    over all pairs of tokens included), `flops` the mixers'. A backward pass costs twice a forward
    pass. Memory is that of one real training step and of a really filled cache. Averages are over a
    context of `num_tokens`, those of `inputs` (B = 1; default: token ids of a language model).
    """
    if inputs is None:
        tokens = torch.zeros(1, num_tokens, dtype=torch.int64)
        inputs = {"input_ids": tokens, "use_cache": False}
    placed = {
        name: value.to(model.device) if isinstance(value, Tensor) else value
        for name, value in inputs.items()
    }

    def loss() -> Any:
        if model.can_generate():
            return model(**placed, labels=placed["input_ids"]).loss
        return model(**placed).logits.sum()  # a classifier's loss adds next to nothing

    forward = _flops(model, placed, num_tokens)
    # Dropout must not advance the caller's random generator.
    with in_mode(model, training=True), torch.random.fork_rng(devices=[]):
        peak = peak_training_bytes(model, loss)
    return ModelCost(
        num_parameters=model.num_parameters(only_trainable=True),
        num_mixer_parameters=sum(each.mixer.num_parameters for each in all_mixers(model)),
        flops_per_token=3 * forward / num_tokens,
        peak_memory_bytes=peak,
        decoding=_decoding(model, num_tokens) if model.can_generate() else None,
    )


def _decoding(model: PreTrainedModel, num_tokens: int) -> DecodingCost:
    """The cost of the last token of a context, with all others in the cache."""
    cache = DynamicCache(config=model.config)
    tokens = torch.zeros(1, num_tokens, dtype=torch.int64, device=model.device)
    cached = {cache_argument(model): cache, "use_cache": True}
    with in_mode(model, training=False), torch.no_grad():
        model(input_ids=tokens[:, :-1], **cached)
    last = {"input_ids": tokens[:, -1:], **cached}
    flops = _flops(model, last, 1)
    layers: list[Any] = cache.layers
    of_mixers = sum(layer.num_bytes for layer in layers if isinstance(layer, MixerStates))
    others = [vars(layer) for layer in layers if not isinstance(layer, MixerStates)]
    tensors = (leaf for leaf in tree_leaves(others) if isinstance(leaf, Tensor))
    return DecodingCost(
        flops_per_token=float(flops),
        cache_bytes=of_mixers + sum(tensor.nbytes for tensor in tensors),
        mixer_state_bytes=of_mixers,
    )


def _flops(model: PreTrainedModel, inputs: dict[str, Any], num_tokens: int) -> int:
    """Operations of one forward pass over `num_tokens` tokens."""
    attention = model.config._attn_implementation
    # On some devices fused attention hides its matrix products from the counter.
    model.set_attn_implementation("eager")
    counter = FlopCounterMode(display=False)
    with in_mode(model, training=False), torch.no_grad(), counter:
        model(**inputs)
    model.set_attn_implementation(attention)
    # Matrix products inside mixers are in the mixers' own count.
    inside_mixers = sum(
        sum(counts.values())
        for module, counts in counter.get_flop_counts().items()
        if point_of(module.rpartition(".")[2])
    )
    mixers = [each.mixer for each in all_mixers(model)]
    of_mixers = sum(mixer.flops(num_tokens) + mixer.fade_flops(num_tokens) for mixer in mixers)
    return int(counter.get_total_flops()) - inside_mixers + of_mixers


def peak_training_bytes(model: torch.nn.Module, loss_of: Callable[[], Tensor]) -> int:
    """The most bytes of tensors alive at once in a forward and a backward pass.

    That includes parameters, buffers, gradients and whatever the backward pass needs, but not the
    optimizer's moments (AdamW's are twice the parameters). `LiveBytes` counts them, so the number
    is the same every time. Clears the model's gradients.
    """
    model.zero_grad()
    with LiveBytes([*model.parameters(), *model.buffers()]) as live:
        loss_of().backward()  # type: ignore[no-untyped-call]
    model.zero_grad()
    return int(live.peak)


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that counts the bytes of all living tensors, `now` and at their `peak`.

    Tensors that are `alive` beforehand must be given; others count from the operation that makes
    them until their storage is freed. Views share a storage, which counts once. Memory that an
    operation uses and does not return is not seen: scratch memory of kernels, blocks of the fused
    filterbank.

    Example:
        >>> with LiveBytes() as live:
        ...     x = torch.ones(10)  # 40 bytes
        ...     y = (x * 2).sum()  # 40 more while the sum of 4 bytes is taken
        >>> live.peak, live.now
        (84, 44)
    """

    def __init__(self, alive: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._storages: set[int] = set()
        for tensor in alive:
            self._add(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation and count the tensors that it returns."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages:
            return
        self._storages.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        # The storage's Python object lives as long as the storage itself.
        weakref.finalize(storage, self._drop, key, size).atexit = False

    def _drop(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self.now -= size
