"""A plain PyTorch decoder, like those of training scripts."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x, cache=None):
        B, T, D = x.shape
        q, k, v = (
            part.view(B, T, self.heads, -1).transpose(1, 2) for part in self.c_attn(x).split(D, -1)
        )
        past = 0
        if cache is not None:
            if self in cache:
                past = cache[self][0].shape[2]
                k, v = (torch.cat(pair, dim=2) for pair in zip(cache[self], (k, v), strict=True))
            cache[self] = k, v
        mask = torch.ones(T, past + T, dtype=torch.bool, device=x.device).tril(past)
        y = F.scaled_dot_product_attention(q, k, v, mask)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, D))


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), Attention(width, heads)
        self.ln_2, self.mlp = nn.LayerNorm(width), MLP(width)

    def forward(self, x, cache=None):
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


class Decoder(nn.Module):
    """Without positions, so that chunks and packed documents need no extra arguments."""

    def __init__(self, vocabulary=40, width=16, num_layers=3, heads=2):
        super().__init__()
        blocks = [Block(width, heads) for _ in range(num_layers)]
        self.transformer = nn.ModuleDict(
            {"wte": nn.Embedding(vocabulary, width), "h": nn.ModuleList(blocks)}
        )
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.reentrant = None  # whether checkpoints are reentrant; None for no checkpoints
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(2)  # large enough for filters to matter

    def forward(self, ids, targets=None, cache=None):
        x = self.transformer.wte(ids)
        for block in self.transformer.h:
            if self.reentrant is not None:
                x = checkpoint(block, x, use_reentrant=self.reentrant)
            else:
                x = block(x, cache)
        logits = self.head(x)
        if targets is None:
            return logits
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Listed(nn.Module):
    """Layers that are lists of modules, which are never called themselves."""

    def __init__(self, vocabulary=40, width=16):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(width), MLP(width)]) for _ in range(3)
        )

    def forward(self, ids):
        x = self.embed(ids)
        for norm, mlp in self.layers:
            x = x + mlp(norm(x))
        return x
