"""Backbones by recipe, with or without mixers."""

from __future__ import annotations

from typing import Any

import psutil
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
    set_seed,
)

from latentwave.bench.training.backbone import POSITIONS, BackboneConfig
from latentwave.bench.training.contestant import ContestantConfig
from latentwave.bench.training.processes import num_processes, on_cpu
from latentwave.bench.training.settings import TrainingConfig
from latentwave.errors import UserError
from latentwave.hub import attach


def build_model(
    backbone: BackboneConfig, contestant: ContestantConfig, *, vocab_size: int, seed: int
) -> PreTrainedModel:
    """Build a contestant with random weights.

    The backbone's weights depend on the seed alone, not on the contestant: mixers are built
    after it.

    Args:
        backbone: the decoder.
        contestant: what is attached to it.
        vocab_size: tokens of the corpus.
        seed: of the initial weights.

    Returns:
        The model, in training mode, without a cache.

    Raises:
        UserError: if the backbone is no decoder, or the mixer refuses it or an option's value.
    """
    if not POSITIONS[backbone.architecture]:
        raise UserError(
            f"backbone.architecture {backbone.architecture!r} reads later tokens and cannot "
            f"predict them: a language model needs one of "
            f"{', '.join(name for name, own in POSITIONS.items() if own)}"
        )
    check_size(backbone, vocab_size)
    set_seed(seed)
    model = _language_model(backbone, vocab_size)
    if backbone.scaled_residual_init and not isinstance(model, GPT2LMHeadModel):
        # What GPT-2's own initialisation does (Radford et al., 2019).
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith(_RESIDUAL_OUTPUTS):
                    parameter.div_((2 * backbone.num_layers) ** 0.5)
    return attach_contestant(model, backbone, contestant)


def check_size(
    backbone: BackboneConfig,
    vocab_size: int,
    training: TrainingConfig | None = None,
    *,
    tokens_per_step: int = 0,
    num_logits: int = 0,
) -> None:
    """Refuse sizes that this machine cannot hold, before anything is built.

    Counted is the least that is needed: the matrices, with gradients and the optimizer's state if
    they are trained, and for one pass of this process its logits and every layer's input.

    Args:
        backbone: what is built.
        vocab_size: of its embeddings.
        training: how it is trained, if it is.
        tokens_per_step: of the training.
        num_logits: for each of these tokens.

    Raises:
        UserError: with what is needed and what there is.
    """
    width, layers = backbone.hidden_size, backbone.num_layers
    per_layer = 4 * width**2 + 2 * width * backbone.intermediate_size
    parameters = width * vocab_size + layers * per_layer
    needed = 4 * parameters
    if training is not None:
        tokens = tokens_per_step // (num_processes() * training.gradient_accumulation_steps)
        kept = 0 if training.gradient_checkpointing else layers * width
        needed = 16 * parameters // num_processes() + 4 * tokens * (num_logits + kept)
    on_gpu = torch.cuda.is_available() and not on_cpu()
    there = torch.cuda.mem_get_info()[1] if on_gpu else psutil.virtual_memory().total
    if needed > there:
        raise UserError(
            f"num_layers={layers}, hidden_size={width}, intermediate_size="
            f"{backbone.intermediate_size} and the batch need at least {needed / 2**30:,.1f} GiB, "
            f"this {'GPU' if on_gpu else 'machine'} has {there / 2**30:,.1f} GiB: choose "
            "smaller sizes, a smaller batch_size or more gradient_accumulation_steps"
        )


def _language_model(backbone: BackboneConfig, vocab_size: int) -> PreTrainedModel:
    sizes = _sizes(backbone, vocab_size)
    if backbone.architecture == "llama":
        sizes["num_key_value_heads"] = backbone.num_heads
        if backbone.qk_norm:  # Qwen 3 is Llama with normalised queries and keys
            return Qwen3ForCausalLM(
                Qwen3Config(head_dim=backbone.hidden_size // backbone.num_heads, **sizes)
            )
        if backbone.positions == "none":  # SmolLM3 is Llama that may do without rotary positions
            return SmolLM3ForCausalLM(
                SmolLM3Config(no_rope_layers=[0] * backbone.num_layers, **sizes)
            )
        return LlamaForCausalLM(llama_config(backbone, vocab_size))
    if backbone.positions == "rotary":
        # GPT-NeoX with sequential residuals is GPT-2 but for its positions and untied biases.
        config = GPTNeoXConfig(
            use_parallel_residual=False,
            rope_parameters={
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 1,
            },
            hidden_dropout=backbone.dropout,
            attention_dropout=backbone.dropout,
            hidden_act=_GELU,
            **sizes,
        )
        return GPTNeoXForCausalLM(config)
    model = GPT2LMHeadModel(gpt2_config(backbone, vocab_size))
    if backbone.positions == "none":
        # GPT-2 adds position embeddings: zeros that stay zeros are none.
        embeddings: torch.Tensor = model.transformer.wpe.weight
        embeddings.requires_grad_(False).zero_()
    return model


def attach_contestant(
    model: PreTrainedModel, backbone: BackboneConfig, contestant: ContestantConfig
) -> PreTrainedModel:
    """Attach a contestant's mixers to a backbone, in place.

    Returns:
        The model, in training mode.

    Raises:
        UserError: if the mixer refuses the backbone or an option's value.
    """
    if contestant.placed:
        try:
            attach(
                model,
                [(each.config, each.points) for each in contestant.placed],
                placement=contestant.placement,  # type: ignore[arg-type]
                context_length=backbone.context_length,
            )
        except ValueError as error:
            kinds = ", ".join(repr(each.kind) for each in contestant.placed)
            raise UserError(f"mixer {kinds}: {error}") from error
    model.train()
    return model


def gpt2_config(backbone: BackboneConfig, vocab_size: int, **others: Any) -> GPT2Config:
    """GPT-2 of a recipe's sizes; `others` are further fields of its configuration."""
    return GPT2Config(
        n_positions=backbone.context_length,
        n_embd=backbone.hidden_size,
        n_layer=backbone.num_layers,
        n_head=backbone.num_heads,
        n_inner=backbone.intermediate_size,
        resid_pdrop=backbone.dropout,
        embd_pdrop=backbone.dropout,
        attn_pdrop=backbone.dropout,
        activation_function=_GELU,
        **_common(backbone, vocab_size) | others,
    )


def llama_config(backbone: BackboneConfig, vocab_size: int, **others: Any) -> LlamaConfig:
    """Llama of a recipe's sizes; `others` are further fields of its configuration."""
    return LlamaConfig(**_sizes(backbone, vocab_size) | others)


def _common(backbone: BackboneConfig, vocab_size: int) -> dict[str, Any]:
    """What all decoders' configurations call by one name."""
    return {
        "vocab_size": vocab_size,
        "initializer_range": backbone.initializer_range,
        "tie_word_embeddings": backbone.tie_embeddings,
        "use_cache": False,
        # Character streams have no begin, end or padding token.
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


def _sizes(backbone: BackboneConfig, vocab_size: int) -> dict[str, Any]:
    """The sizes by the names that all configurations but GPT-2's have for them."""
    return _common(backbone, vocab_size) | {
        "max_position_embeddings": backbone.context_length,
        "hidden_size": backbone.hidden_size,
        "num_hidden_layers": backbone.num_layers,
        "num_attention_heads": backbone.num_heads,
        "intermediate_size": backbone.intermediate_size,
    }


# GPT-2's GELU as one fused kernel; transformers' "gelu_new" is the same function in eight.
_GELU = "gelu_pytorch_tanh"
# Names of the projections whose output is added to the residual stream.
_RESIDUAL_OUTPUTS = (
    "o_proj.weight",
    "down_proj.weight",
    "attention.dense.weight",
    "dense_4h_to_h.weight",
)
