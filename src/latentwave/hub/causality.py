"""Prove that a model does not read the future."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from latentwave.errors import UserError
from latentwave.hub.attached import all_mixers, is_attached
from latentwave.hub.decoder import (
    decoder_layers,
    eval_mode,
    find_decoder,
    uncompiled,
    without_adapters,
)
from latentwave.hub.mixed_layers import sites_of
from latentwave.mixers import Mixer

_OFFSET = 0.05  # of mixers' parameters during a trial


class CausalityError(AssertionError):
    """A model's output depends on tokens that come after it."""


def assert_causal(
    model: nn.Module,
    input_ids: Tensor | None = None,
    *,
    num_tokens: int | None = None,
    tolerance: float = 0.0,
    seed: int = 0,
) -> None:
    """Prove on random inputs that no output depends on a later token.

    For several positions t, all tokens from t on are changed: outputs before t must not change,
    to the bit by default, and their gradient with respect to inputs from t on must be exactly
    zero. Both are checked after every decoder layer, so the message names the first that leaks.
    Many mixers start with weights of zero, which could hide a leak, so all parameters of mixers
    are shifted during the proof. Other paths that weights of zero close stay unchecked.

    Args:
        model: a transformers decoder, with or without mixers, any other model that maps token
            ids to (B, T, …), or a single mixer. It runs in eval mode, without the wrapper of
            `torch.compile` or PEFT around a transformers model, and is left unchanged.
        input_ids: (B, T), the tokens to start from, at least two different ones, which replace
            each other; default: random ones from the vocabulary of a transformers decoder.
        num_tokens: T of the random sequences; default: 64, or the model's
            `max_position_embeddings` or the mixer's context length if that is smaller.
        tolerance: largest change of an output that passes, for hardware and mixtures of experts
            whose sums depend on the whole batch.
        seed: seed of the test inputs.

    Raises:
        CausalityError: if an output depends on a later token; says which layer, how, and by how
            much.
        UserError: for fewer than two tokens, input_ids that are not (B, T) or all alike, a model
            that needs them or has no embedding for them, and layers with mixers on (T, B, D).

    Example:
        >>> from latentwave.mixers import build_mixer
        >>> assert_causal(build_mixer("wavelet", channels=4, context_length=8))
    """
    inner = uncompiled(without_adapters(model))
    if isinstance(inner, PreTrainedModel):  # others may hold the mixers in the wrapper itself
        model = inner
    if input_ids is not None:
        if input_ids.dim() != 2:
            raise UserError(f"input_ids must be (B, T), got {tuple(input_ids.shape)}")
        num_tokens = input_ids.shape[1]
    elif num_tokens is None:
        longest = model.context_length if isinstance(model, Mixer) else None
        if isinstance(model, PreTrainedModel):
            longest = find_decoder(model).context_length
        num_tokens = min(64, longest or 64)
    if num_tokens < 2:
        raise UserError(f"num_tokens must be >= 2 to have a future, got {num_tokens}")
    if input_ids is not None and bool((input_ids == input_ids[0, 0]).all()):
        raise UserError(
            "input_ids must hold at least two different tokens, which replace each other in the "
            f"proof, got only {input_ids[0, 0].item()}"
        )
    trial = _trial(model, input_ids, num_tokens, torch.Generator().manual_seed(seed))
    cuts = sorted({1, num_tokens // 3 or 1, num_tokens // 2, num_tokens - 1})
    with eval_mode(model), _shifted_mixers(model), _recording(trial) as record:
        outputs = _run(trial, trial.x, record)
        if not outputs:
            raise UserError(
                f"{type(model).__name__} returns no output (B, T, …), so there is nothing to "
                "check: return all logits, or attach mixers to check their layers"
            )
        for cut in cuts:
            changed = trial.x.clone()
            changed[:, cut:] = trial.draw()[:, cut:]
            _check_outputs(outputs, _run(trial, changed, record), cut, tolerance)
        _check_gradients(trial, record, cuts)


def _check_outputs(
    before: dict[str, Tensor], after: dict[str, Tensor], cut: int, tolerance: float
) -> None:
    for name, output in before.items():
        change = (after[name][:, :cut] - output[:, :cut]).abs().flatten(2).amax(dim=(0, 2))
        # Negated so that NaN counts as a change.
        moved = (~(change <= tolerance)).nonzero()
        if len(moved):
            token = int(moved[0])
            rounding = 100 * torch.finfo(output.dtype).eps * float(output.abs().max())
            hint = ", which may be rounding, as in mixtures of experts: then pass a tolerance"
            raise CausalityError(
                f"{name} leaks the future: changing tokens >= {cut} changes its output at token "
                f"{token} by {float(change[token]):.3g}{hint if change[token] <= rounding else ''}"
            )


@contextlib.contextmanager
def _shifted_mixers(model: nn.Module) -> Iterator[None]:
    """Add one number to all parameters of mixers for the block."""
    mixers = [model] if isinstance(model, Mixer) else [each.mixer for each in all_mixers(model)]
    saved = {p: p.detach().clone() for mixer in mixers for p in mixer.parameters()}
    for parameter in saved:
        parameter.data.add_(_OFFSET)  # unseen by graphs that the caller may still hold
    try:
        yield
    finally:
        for parameter, before in saved.items():
            parameter.data.copy_(before)


@dataclasses.dataclass(frozen=True)
class _Trial:
    """How to run a model, and which outputs to check."""

    run: Callable[[Tensor], object]
    x: Tensor  # token ids (B, T), or the input (B, T, D) of a mixer
    draw: Callable[[], Tensor]  # of another x
    stages: dict[str, nn.Module]  # whose outputs are compared, by their name in messages
    embeddings: set[nn.Module]  # that may look up the token ids


def _trial(
    model: nn.Module, input_ids: Tensor | None, num_tokens: int, random: torch.Generator
) -> _Trial:
    first = next(model.parameters(), torch.empty(0))
    if isinstance(model, Mixer):
        shape = (2, num_tokens, model.channels)

        def noise() -> Tensor:
            return torch.randn(shape, generator=random).to(first)

        return _Trial(model, noise(), noise, {f"the {model.kind!r} mixer": model}, set())
    embeddings = {*filter(lambda module: isinstance(module, nn.Embedding), model.modules())}
    stages, options = {}, {}
    config: Any = None
    if isinstance(model, PreTrainedModel):
        decoder = find_decoder(model)
        config = decoder.config
        stages["the decoder's output"] = decoder.module
        options = {"use_cache": False}
        embeddings.add(model.get_input_embeddings())
    elif input_ids is None:
        raise UserError(f"{type(model).__name__} is not a transformers model: pass input_ids")
    else:
        stages["the model's output"] = model
    if is_attached(model) or isinstance(model, PreTrainedModel):
        mixed = {each.layer_index for each in all_mixers(model)}
        stages = {
            f"decoder layer {index}" + (" with its mixer" if index in mixed else ""): layer
            for index, layer in enumerate(decoder_layers(model))
        } | stages

    def ids() -> Tensor:
        if input_ids is None:
            drawn = torch.randint(config.vocab_size - 1, (2, num_tokens), generator=random)
            # Skip the padding token: its embedding is zero, and norms have no gradient there.
            padding = getattr(config, "pad_token_id", None) or 0
            return (drawn + (drawn >= padding)).to(first.device)
        # Permute the given tokens: others of the vocabulary may be invalid inputs.
        values, places = torch.unique(input_ids, return_inverse=True)
        steps = torch.randint(1, len(values), places.shape, generator=random).to(places.device)
        others: Tensor = values[(places + steps) % len(values)]
        return others

    run = functools.partial(model, **options)
    return _Trial(run, ids() if input_ids is None else input_ids, ids, stages, embeddings)


def _check_gradients(trial: _Trial, record: dict[str, Tensor], cuts: list[int]) -> None:
    record.clear()
    with torch.enable_grad(), _leaves(trial) as leaves:
        x = trial.x
        if x.is_floating_point():
            x = x.clone().requires_grad_()
            leaves.append(x)
        trial.run(x)
        if not leaves:
            raise UserError(
                "no embedding of the token ids was found in the model, so gradients cannot be "
                "checked: the model must pass them to an nn.Embedding"
            )
        for cut, (name, output) in itertools.product(cuts, record.items()):
            past = output[:, :cut].square().sum()
            grads = torch.autograd.grad(past, leaves, retain_graph=True, allow_unused=True)
            worst = max([float(g[:, cut:].abs().max()) for g in grads if g is not None], default=0)
            if worst != 0:
                raise CausalityError(
                    f"{name} leaks the future: its outputs before token {cut} have a gradient of "
                    f"up to {worst:.3g} with respect to later inputs"
                )


@contextlib.contextmanager
def _leaves(trial: _Trial) -> Iterator[list[Tensor]]:
    """Collect the embeddings of the token ids as leaves for gradients."""
    leaves: list[Tensor] = []

    def hook(module: nn.Module, args: tuple[object, ...], output: Tensor) -> Tensor | None:
        ids = args[0] if args else None
        if not isinstance(ids, Tensor) or not torch.equal(ids, trial.x):
            return None  # an embedding of positions
        leaf = output.detach().requires_grad_()
        leaves.append(leaf)
        return leaf.clone()  # some models scale it in place

    with contextlib.ExitStack() as hooks:
        for embedding in trial.embeddings:
            hooks.enter_context(embedding.register_forward_hook(hook))
        yield leaves


def _run(trial: _Trial, x: Tensor, record: dict[str, Tensor]) -> dict[str, Tensor]:
    record.clear()
    with torch.no_grad():
        trial.run(x)
    return dict(record)


@contextlib.contextmanager
def _recording(trial: _Trial) -> Iterator[dict[str, Tensor]]:
    """Record the stage outputs that have tokens in their second dimension."""
    record: dict[str, Tensor] = {}

    def recorder(name: str) -> Callable[[nn.Module, object, Any], None]:
        def hook(module: nn.Module, args: object, output: Any) -> None:
            first = output
            if not isinstance(output, Tensor):
                several = output.values() if isinstance(output, Mapping) else output or ()
                first = next((e for e in several if isinstance(e, Tensor)), torch.empty(0))
            B, T = trial.x.shape[:2]
            if first.dim() > 2 and first.shape[:2] == (B, T):
                record[name] = first
            elif first.dim() > 2 and first.shape[:2] == (T, B) and sites_of(module):
                raise UserError(
                    f"{name} gives an output of shape {tuple(first.shape)} for {B} sequences of "
                    f"{T} tokens: its mixer mixes across the batch, because it needs (B, T, D)"
                )

        return hook

    with contextlib.ExitStack() as hooks:
        for name, module in trial.stages.items():
            hooks.enter_context(module.register_forward_hook(recorder(name)))
        yield record
