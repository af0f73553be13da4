"""Optimizer parameter groups: which parameters of a model with mixers get weight decay."""

from typing import Any

from torch import nn

from latentwave.mixers import Mixer


def mixer_parameters(model: nn.Module) -> list[nn.Parameter]:
    """All parameters of all mixers inside a model, each once, frozen ones included.

    Mixers are found by class, wherever they are and whatever wraps them or the model (PEFT, DDP,
    FSDP2).

    Returns:
        The parameters in module order; empty if there are no mixers.
    """
    mixers = (module for module in model.modules() if isinstance(module, Mixer))
    return list({id(p): p for mixer in mixers for p in mixer.parameters()}.values())


def parameter_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Two optimizer groups: backbone matrices with weight decay, everything else without.

    Weight decay applies to every trainable backbone parameter with at least two dimensions,
    embeddings and output head included, as in nanoGPT and transformers' Trainer. Biases, norms
    and mixer parameters of any shape are exempt: decay would pull a kernel towards zero, which
    filters nothing, and a gate towards whatever zero happens to mean for it. Muon suits only the
    decoder layers' matrices in the first group; give everything else to AdamW.

    Args:
        model: with or without mixers, wrapped or not.
        weight_decay: that of the first group.

    Returns:
        The groups in the format of `torch.optim`, without empty ones.

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
