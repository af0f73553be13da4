"""Parameter groups for optimizers: what of a model with mixers takes weight decay."""

from __future__ import annotations

from typing import Any

from torch import nn

from latentwave.mixers import Mixer


def mixer_parameters(model: nn.Module) -> list[nn.Parameter]:
    """All parameters of all mixers inside a model, each once.

    They are found by their modules, so it does not matter where mixers stand or what wraps the
    model or the mixers (PEFT, DDP, FSDP2). Frozen ones are included.

    Args:
        model: any module.

    Returns:
        The parameters, in the order of the modules; empty without mixers.
    """
    mixers = (module for module in model.modules() if isinstance(module, Mixer))
    return list({id(p): p for mixer in mixers for p in mixer.parameters()}.values())


def parameter_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimizer: matrices of the backbone with weight decay, the rest without.

    Decayed is every trainable parameter of the backbone with two dimensions or more, embeddings
    and output head included, as nanoGPT and transformers' Trainer do it. Not decayed are biases,
    norms, and every parameter of a mixer whatever its shape: decay pulls a kernel towards zero,
    which is no filter at all, and a gate towards whatever its zero means.

    Muon is for matrices that map channels to channels, never for those of mixers: give it the
    matrices of the decoder layers among the first group, and the rest to AdamW.

    Args:
        model: with or without mixers, wrapped or not.
        weight_decay: of the first group.

    Returns:
        The groups, as `torch.optim` takes them; one without parameters is left out.

    Example:
        >>> import torch
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> from latentwave.hub import attach
        >>> config = GPT2Config(vocab_size=32, n_positions=16, n_embd=8, n_layer=3, n_head=2)
        >>> model = attach(GPT2LMHeadModel(config), "short_conv")
        >>> groups = parameter_groups(model, weight_decay=0.1)
        >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
        [(14, 0.1), (28, 0.0)]
        >>> optimizer = torch.optim.AdamW(groups, lr=1e-3)
    """
    of_mixers = {id(p) for p in mixer_parameters(model)}
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for p in model.parameters():
        if p.requires_grad:
            (decayed if p.dim() >= 2 and id(p) not in of_mixers else others).append(p)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
