"""Proof that a model does not read the future."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from latentwave.errors import UserError
from latentwave.hub.decoder import find_decoder
from latentwave.mixers import Mixer


class CausalityError(AssertionError):
    """A model's output depends on tokens that come after it."""


def assert_causal(
    model: PreTrainedModel | Mixer,
    *,
    num_tokens: int | None = None,
    tolerance: float = 0.0,
    seed: int = 0,
) -> None:
    """Prove on random inputs that no output depends on a later token.

    For several positions t: all tokens from t on are changed, and outputs before t must stay the
    same, to the bit by default; and the gradient of the outputs before t with respect to the
    inputs from t on must be exactly zero. Both are checked after every decoder layer, so the
    message names the first one that leaks.

    Args:
        model: a transformers decoder, with mixers or without, or a single mixer. It is run in
            eval mode and left as it was.
        num_tokens: length of the test sequences; default: 64, or the model's
            `max_position_embeddings` or the mixer's context length if that is smaller.
        tolerance: largest change of an output that passes, for hardware whose sums depend on
            the whole batch.
        seed: of the test inputs.

    Raises:
        CausalityError: if an output depends on a later token; says which layer, how, and by how
            much.
        UserError: if the model's decoder layers cannot be told, or num_tokens is below 2.

    Example:
        >>> from latentwave.mixers import build_mixer
        >>> assert_causal(build_mixer("wavelet", channels=4, context_length=8))
    """
    num_tokens = min(64, _longest(model)) if num_tokens is None else num_tokens
    if num_tokens < 2:
        raise UserError(f"num_tokens must be >= 2 to have a future, got {num_tokens}")
    random = torch.Generator().manual_seed(seed)
    run, x, stages = _embedded(model, num_tokens, random)
    cuts = sorted({1, num_tokens // 3 or 1, num_tokens // 2, num_tokens - 1})
    with _eval_mode(model), _recording(stages) as record:
        outputs = _run(run, x, record)
        for cut in cuts:
            changed = x.clone()
            changed[:, cut:] = torch.randn(changed[:, cut:].shape, generator=random).to(x)
            _check_outputs(outputs, _run(run, changed, record), cut, tolerance)
        for cut in cuts:
            _check_gradients(run, x, record, cut)


def _check_outputs(
    before: dict[str, Tensor], after: dict[str, Tensor], cut: int, tolerance: float
) -> None:
    for name, output in before.items():
        change = (after[name][:, :cut] - output[:, :cut]).abs().amax(dim=(0, 2))
        # A NaN is a change too.
        moved = (~(change <= tolerance)).nonzero()
        if len(moved):
            token = int(moved[0])
            raise CausalityError(
                f"{name} leaks the future: changing tokens >= {cut} changes its output at token "
                f"{token} by {float(change[token]):.3g}"
            )


def _check_gradients(
    run: Callable[[Tensor], Tensor], x: Tensor, record: dict[str, Tensor], cut: int
) -> None:
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        record.clear()
        run(leaf)
        stages = dict(record)
        for name, output in stages.items():
            past = output[:, :cut].square().sum()
            (grad,) = torch.autograd.grad(past, leaf, retain_graph=True)
            worst = float(grad[:, cut:].abs().max())
            if worst != 0:
                raise CausalityError(
                    f"{name} leaks the future: its outputs before token {cut} have a gradient of "
                    f"up to {worst:.3g} with respect to later inputs"
                )


def _run(
    run: Callable[[Tensor], Tensor], x: Tensor, record: dict[str, Tensor]
) -> dict[str, Tensor]:
    record.clear()
    with torch.no_grad():
        run(x)
    return dict(record)


def _embedded(
    model: PreTrainedModel | Mixer, num_tokens: int, random: torch.Generator
) -> tuple[Callable[[Tensor], Tensor], Tensor, dict[str, nn.Module]]:
    """How to run the model from embeddings, such embeddings, and what to look at on the way."""
    first = next(model.parameters(), torch.empty(0))
    if isinstance(model, Mixer):
        x = torch.randn(2, num_tokens, model.channels, generator=random)
        return model, x.to(first), {f"the {model.kind!r} mixer": model}
    decoder = find_decoder(model)
    stages: dict[str, nn.Module] = {
        f"decoder layer {index}" + (" with its mixer" if _has_mixer(layer) else ""): layer
        for index, layer in enumerate(decoder.layers)
    }
    stages["the decoder's output"] = decoder.module
    x = torch.randn(2, num_tokens, decoder.config.hidden_size, generator=random)

    def run(x: Tensor) -> Tensor:
        output: Tensor = model(inputs_embeds=x, use_cache=False)[0]
        return output

    return run, x.to(first), stages


def _has_mixer(layer: nn.Module) -> bool:
    return any(isinstance(child, Mixer) for child in layer.children())


def _longest(model: PreTrainedModel | Mixer) -> int:
    if isinstance(model, Mixer):
        return model.context_length
    return int(getattr(find_decoder(model).config, "max_position_embeddings", 64))


@contextlib.contextmanager
def _recording(stages: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    record: dict[str, Tensor] = {}

    def recorder(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, args: object, output: object) -> None:
            first = output if isinstance(output, Tensor) else output[0]  # type: ignore[index]
            record[name] = first

        return hook

    handles = [module.register_forward_hook(recorder(name)) for name, module in stages.items()]
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.train(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True
