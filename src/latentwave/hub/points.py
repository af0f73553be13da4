"""Find the points of a decoder layer where mixers can be inserted."""

import dataclasses
import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from latentwave.errors import UserError
from latentwave.mixers.registry import POINTS, Point

# The submodule name of a mixer after its decoder layer, and the prefix of all others (see `Site`).
MIXER_NAME = "latentwave_mixer"

_ATTENTION = ("attn", "attention")
_MLP = ("mlp", "feed_forward", "ffn")
# Names of projections; the first complete group is used.
_QUERY_KEY_VALUE = (
    ("q_proj", "k_proj", "v_proj"),
    ("c_attn",),
    ("qkv_proj",),
    ("query_key_value",),
    ("Wqkv",),
    ("query", "key", "value"),
)
_HIDDEN = (
    ("gate_up_proj",),
    ("gate_proj", "up_proj"),
    ("up_proj",),
    ("c_fc",),
    ("c_fc_0", "c_fc_1"),
    ("dense_h_to_4h",),
    ("fc1",),
    ("fc_in",),
    ("w1", "w3"),
    ("Wi",),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """The position of one mixer in one decoder layer.

    Attributes:
        layer_index: index of the decoder layer.
        point: see `attach`.
        channels: width of the signal.
        name: submodule name of the mixer: `latentwave_mixer`, `latentwave_mixer_mlp`,
            `latentwave_mixer_qkv_q_proj`, ….
        path: path of the module inside the layer whose input or output is mixed; "" is the layer.
        before: True to mix the input, False to mix the output.
        holder: path of the module that holds the mixer: "" for the layer, another module if the
            layer is a list or dict, which cannot take extra entries.
    """

    layer_index: int
    point: Point
    channels: int
    name: str = MIXER_NAME
    path: str = ""
    before: bool = False
    holder: str = ""


def point_of(name: str) -> Point | None:
    """The point encoded in a mixer's submodule name; None if it is not a mixer.

    Example:
        >>> point_of("latentwave_mixer"), point_of("latentwave_mixer_qkv_q_proj"), point_of("mlp")
        ('block', 'qkv', None)
    """
    if name == MIXER_NAME:
        return "block"
    # Longest first: "mlp" is a prefix of other points.
    for point in sorted(POINTS, key=len, reverse=True):
        if f"{name}_".startswith(f"{MIXER_NAME}_{point}_"):
            return point
    return None


def find_sites(
    layer: nn.Module, layer_index: int, point: Point, channels: int, modules: Mapping[str, str]
) -> list[Site]:
    """The mixer sites at one point of one decoder layer: one, or one per projection.

    Attention is the child with attn or attention in its name, the MLP the one with mlp,
    feed_forward or ffn; both must contain matrices, which excludes norms and dropouts. `modules`
    names their paths instead. Projections are found inside them by the names that transformers
    decoders use, if they have output features as `nn.Linear` and `Conv1D` do.
    """
    where = f"{type(layer).__name__} {layer_index}"
    site = Site(layer_index=layer_index, point=point, channels=channels)
    if point == "block":
        _refuse_containers(layer, where)
        return [site]
    word, keywords = ("mlp", _MLP) if point.startswith("mlp") else ("attention", _ATTENTION)
    path = modules.get(word) or _find_part(layer, word, keywords, point, where)
    try:
        part = layer.get_submodule(path)
    except AttributeError as error:
        raise UserError(f"{where} has no module {path!r} for {word!r}") from error
    name = f"{MIXER_NAME}_{point}"
    holder = path if isinstance(layer, nn.ModuleList | nn.ModuleDict) else ""
    site = dataclasses.replace(site, name=name, path=path, holder=holder)
    if point in ("qkv", "mlp_hidden"):
        return [
            dataclasses.replace(
                site, name=f"{name}_{child}", path=f"{owner}.{child}", channels=width
            )
            for owner, child, width in _find_projections(part, path, point, where)
        ]
    _refuse_containers(part, f"{path} of {where}")
    arguments = inspect.signature(part.forward).parameters.keys()
    if point.endswith("_output") and "residual" in arguments:
        raise UserError(
            f"{path} of {where} adds the residual stream itself ({type(part).__name__}.forward "
            f"takes it), so what it returns is not its own output: choose other points than "
            f"{point!r}"
        )
    if point == "attention" and ({"key", "value"} <= arguments or {"k", "v"} <= arguments):
        raise UserError(
            f"{path} of {where} ({type(part).__name__}) takes queries, keys and values separately, "
            "so a mixer on its input would filter the queries alone: choose other points, such as "
            '"attention_output"'
        )
    return [dataclasses.replace(site, before=not point.endswith("_output"))]


def _refuse_containers(module: nn.Module, where: str) -> None:
    if isinstance(module, nn.ModuleList | nn.ModuleDict):
        raise UserError(
            f"{where} is a {type(module).__name__}, which is never called: pass a module inside "
            'it, as in modules={"mlp": "1"}'
        )


def _find_part(
    layer: nn.Module, word: str, keywords: Sequence[str], point: Point, where: str
) -> str:
    children = {n: child for n, child in layer.named_children() if point_of(n) is None}
    found = [
        name
        for name, child in children.items()
        if any(word in name.lower() for word in keywords) and _has_matrices(child)
    ]
    if len(found) == 1:
        return found[0]
    other = "attention" if word == "mlp" else "mlp"
    raise UserError(
        f"{where} has {len(found) or 'no'} modules for point {point!r}: looked for one with "
        f"{' or '.join(keywords)} in its name and matrices inside, among {', '.join(children)}. "
        f"Choose a kind or points at 'block' or {other!r}, as in attach(model, points={other!r}), "
        f'name the module, as in modules={{"{word}": "path"}}, or choose layers that have one with '
        "placement=[…]"
    )


def _find_projections(
    part: nn.Module, path: str, point: Point, where: str
) -> Iterator[tuple[str, str, int]]:
    """The owner's path, name and width of each projection."""
    groups = _QUERY_KEY_VALUE if point == "qkv" else _HIDDEN
    # Attention modules may be nested; an MLP that contains MLPs is a mixture of experts.
    owners = dict(part.named_modules(prefix=path)) if point == "qkv" else {path: part}
    for owner, module in owners.items():
        for group in groups:
            widths = [_width(getattr(module, name, None)) for name in group]
            if None not in widths:
                return ((owner, name, w) for name, w in zip(group, widths, strict=True) if w)
    looked_for = ", ".join("+".join(group) for group in groups)
    raise UserError(
        f"{where} has no projections for point {point!r}: looked for linear maps named "
        f"{looked_for} in its {path} ({type(part).__name__}). Choose other points, or choose "
        "layers that have them with placement=[…]"
    )


def _has_matrices(module: nn.Module) -> bool:
    """Whether it contains matrices; quantised layers keep them as buffers or packed."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    return any(tensor.dim() >= 2 for tensor in tensors) or any(map(_width, module.modules()))


def _width(module: object) -> int | None:
    """Output features of a linear map, including quantised, adapted and GPT-2's Conv1D ones."""
    if not isinstance(module, nn.Module):
        return None
    widths = (getattr(module, name, None) for name in ("out_features", "outfeatures", "nf"))
    return next((width for width in widths if isinstance(width, int)), None)
