"""Find the layers of a plain PyTorch decoder from what the user passes."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from latentwave.errors import UserError
from latentwave.hub.decoder import Decoder, transformers_part, uncompiled

Layers = str | nn.Module | Iterable[nn.Module | str]

# Names for the context length in the configurations of known training scripts.
_LENGTHS = ("block_size", "max_position_embeddings", "max_seq_len", "sequence_len", "n_ctx")


def plain_decoder(model: nn.Module, layers: Layers, channels: int | None) -> Decoder:
    """The decoder of any model whose layers, or their names, are given."""
    model = uncompiled(model)
    name = (
        _unwrapped_name(layers) if isinstance(layers, str) else module_names(model).get(id(layers))
    )
    container: Any = _submodule(model, layers) if isinstance(layers, str) else layers
    if isinstance(container, nn.ModuleDict):
        container = container.values()
    if not isinstance(container, Iterable):
        raise UserError(
            f"layers={layers!r} is a {type(container).__name__}: pass the list of decoder layers, "
            "or its path"
        )
    found = [
        uncompiled(_submodule(model, layer) if isinstance(layer, str) else layer)
        for layer in container
    ]
    inside = {id(module) for module in model.modules()}
    if not found or not all(id(layer) in inside for layer in found):
        raise UserError(f"layers must be modules inside the model, got {layers!r}")
    owner = transformers_part(model)
    if owner is not None and {id(module) for module in owner[1].modules()} & {*map(id, found)}:
        raise UserError(
            f"these layers belong to a transformers model, {type(owner[1]).__name__} at "
            f"{owner[0]!r}: attach to that one, without layers, so that its cache carries the "
            "mixers' state"
        )
    for module in (each for layer in found for each in layer.modules()):
        if getattr(module, "batch_first", True) is False:
            raise UserError(
                f"a {type(module).__name__} in these layers has batch_first=False, so their input "
                "is (T, B, D), but mixers need (B, T, D): build the layers with batch_first=True"
            )
    for encoder in (each for each in model.modules() if isinstance(each, nn.TransformerEncoder)):
        if encoder.use_nested_tensor and set(encoder.layers) & set(found):
            raise UserError(
                "an nn.TransformerEncoder turns padded input into nested tensors, which mixers "
                "cannot read: build it with enable_nested_tensor=False"
            )
    config = getattr(model, "config", None)
    length = next((v for n in _LENGTHS if isinstance(v := getattr(config, n, None), int)), None)
    return Decoder(
        module=model,
        layers=found,
        config=None,
        channels=_width(found) if channels is None else channels,
        context_length=length,
        name=name,
    )


def module_names(model: nn.Module) -> dict[int, str]:
    """The dotted name of each module, by its id, as if nothing were wrapped by `torch.compile`."""
    return {id(module): _unwrapped_name(name) for name, module in model.named_modules()}


def _unwrapped_name(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _submodule(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(_unwrapped_name(name))
    except AttributeError as error:
        lists = [n for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and n]
        raise UserError(
            f"{type(model).__name__} has no module {name!r}; its lists of modules are "
            f"{', '.join(lists) or 'none'}"
        ) from error


def _width(layers: Iterable[nn.Module]) -> int:
    """The width of the first norm, which reads the residual stream."""
    for layer in layers:
        # Norms inside attention may be as narrow as a head.
        for module in (*layer.children(), *layer.modules()):
            weight = getattr(module, "weight", None)
            is_norm = "norm" in type(module).__name__.lower()
            if is_norm and isinstance(weight, Tensor) and weight.dim() == 1:
                return len(weight)
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                return module.in_features
    raise UserError("cannot determine the width of the layers: pass channels")
