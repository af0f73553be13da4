"""Tiny backbones whose weights are large enough for filters to matter."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

VOCABULARY, CONTEXT = 40, 64


def gpt2(num_layers=3):
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=16,
        n_layer=num_layers,
        n_head=2,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=1,
    )
    return _lively(GPT2LMHeadModel(config))


def llama(num_layers=3):
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=CONTEXT,
        hidden_size=16,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        intermediate_size=32,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=1,
    )
    return _lively(LlamaForCausalLM(config))


def _lively(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model.eval()


BACKBONES = {"gpt2": gpt2, "llama": llama}


def tokens(*shape):
    return torch.randint(2, VOCABULARY, shape)
