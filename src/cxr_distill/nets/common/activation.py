"""Class activation maps: where in a film a network that ends in average pooling and one linear layer saw pneumonia."""

from __future__ import annotations

from torch import Tensor


def class_activation(maps: Tensor, logits: Tensor, weight: Tensor) -> Tensor:
    """Evidence for pneumonia (B, h, w), in logits; positive speaks for it.

    The last feature `maps` (B, C, h, w) weighed by the rows of the linear layer's `weight` (3, C) (Zhou et al., arXiv
    1512.04150): bacterial and viral by their shares of P(pneumonia) under `logits` (B, 3), less normal.
    """
    weights = logits[:, 1:].softmax(dim=1) @ weight[1:] - weight[0]
    return (maps * weights[:, :, None, None]).sum(dim=1)
