"""Sub-band weights of the fused filterbank, and their gradients."""

import torch
from torch import Tensor

from latentwave.functional.filterbank_grid import Band, Block, Grid


class FixedWeights:
    """Weights (M,), applied, like their gradient, outside the blocks."""

    def __init__(self, weights: Tensor, dtype: torch.dtype) -> None:
        self._weights = weights.to(dtype)
        self._zero = self._weights.new_zeros(())

    def enter(self, block: Block) -> None:
        """Start a block."""

    def sum(self, r: int, z: Tensor, y: Tensor) -> None:
        """Write Σ_m a_m z_m, with z (R, M), to y (R)."""
        torch.mv(z, self._weights, out=y)

    def gate(self, r: int, band: Band, z: Tensor, dy: Tensor) -> None:
        """Turn a band's z into g."""
        z.gt_(self._zero)

    def leave(self, block: Block) -> None:
        """End a block of the backward pass."""

    def weigh(self, placed: Tensor) -> Tensor:
        """The taps of the adjoint."""
        return placed * self._weights[:, None]

    def finish(self, analysis: Tensor, product: Tensor) -> Tensor:
        """∂ weights; turns the product G into ∂ analysis in place."""
        grad = (analysis.to(product.dtype) * product).sum(1)
        product.mul_(self._weights[:, None])
        return grad


class TokenWeights:
    """A tf_mask (B, T, M): one weight per filter for all channels of a token."""

    def __init__(self, grid: Grid, tf_mask: Tensor, dtype: torch.dtype) -> None:
        self._grid, self._dtype = grid, dtype
        self._tf_mask = grid.per_token(tf_mask)
        self._grad = grid.new_per_token(tf_mask, grid.M).to(dtype)
        self._zero = tf_mask.new_zeros((), dtype=dtype)

    def enter(self, block: Block) -> None:
        """Start a block: fetch its masks as (S, pairs of batch and segment, M)."""
        S, M = self._grid.S, self._grid.M
        self._masks = block.cut_pairs(self._tf_mask).reshape(S, -1, M).to(self._dtype)
        self._grads = torch.empty_like(self._masks)
        self._channels = block.shape[2]

    def _per_pair(self, lanes: Tensor) -> Tensor:
        """A view of lanes (P, n, C) as (pairs, n, channels); a lane holds one pair or all."""
        P, n, _ = lanes.shape
        return lanes.view(P, n, -1, self._channels).transpose(1, 2).view(-1, n, self._channels)

    def sum(self, r: int, z: Tensor, y: Tensor) -> None:
        """Write Σ_m a_m z_m, with z (R, M), to y (R)."""
        per_pair = z.view(-1, self._channels, self._grid.M)
        out = y.view(-1, 1, self._channels)
        torch.bmm(self._masks[r].unsqueeze(1), per_pair.mT, out=out)

    def gate(self, r: int, band: Band, z: Tensor, dy: Tensor) -> None:
        """Turn a band's z into a ⊙ g; keeps ∂ tf_mask, the sum of ReLU(z) ⊙ dy over channels."""
        per_pair = self._per_pair(z.relu_())
        product = torch.bmm(self._per_pair(dy), per_pair.mT)
        self._grads[r, :, band.filters] = product.squeeze(1)
        z.gt_(self._zero)
        per_pair.mul_(self._masks[r, :, band.filters].unsqueeze(-1))

    def leave(self, block: Block) -> None:
        """End a block; blocks with the same tokens hold different channels, so their sums add."""
        part = block.cut_pairs(self._grad)
        part += self._grads.view(part.shape)

    def weigh(self, placed: Tensor) -> Tensor:
        """The taps of the adjoint; the gates already include the weights."""
        return placed

    def finish(self, analysis: Tensor, product: Tensor) -> Tensor:
        """∂ tf_mask; G already is ∂ analysis."""
        return self._grid.to_tokens(self._grad)


def weighting_of(grid: Grid, weights: Tensor, dtype: torch.dtype) -> FixedWeights | TokenWeights:
    """The weighting for weights (M,) or a tf_mask (B, T, M)."""
    if weights.dim() == 1:
        return FixedWeights(weights, dtype)
    return TokenWeights(grid, weights, dtype)
