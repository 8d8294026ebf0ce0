"""Class activation maps: where in a film a network that ends in average pooling and one linear layer saw pneumonia."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cxr_distill.base.errors import CxrError
from cxr_distill.nets.common.views import network_input

Floats = NDArray[np.float64]


def class_activation(maps: Tensor, logits: Tensor, weight: Tensor) -> Tensor:
    """Evidence for pneumonia (B, h, w), in logits; positive speaks for it.

    The last feature `maps` (B, C, h, w) weighed by the rows of the linear layer's `weight` (3, C) (Zhou et al., arXiv
    1512.04150): bacterial and viral by their shares of P(pneumonia) under `logits` (B, 3), less normal.
    """
    weights = logits[:, 1:].softmax(dim=1) @ weight[1:] - weight[0]
    return (maps * weights[:, :, None, None]).sum(dim=1)


def has_activation_maps(net: nn.Module) -> bool:
    """Whether `activation_maps` works: the network ends in global average pooling and one linear layer."""
    return _pool_and_head(net) is not None


def _pool_and_head(net: nn.Module) -> tuple[nn.AdaptiveAvgPool2d, nn.Linear] | None:
    pools = [module for module in net.modules() if isinstance(module, nn.AdaptiveAvgPool2d)]
    heads = [module for module in net.modules() if isinstance(module, nn.Linear)]
    if len(pools) != 1 or len(heads) != 1 or pools[0].output_size not in (1, (1, 1)):
        return None
    return pools[0], heads[0]


def activation_maps(net: nn.Module, images: NDArray[np.uint8], *, batch_size: int = 64) -> tuple[Floats, Floats]:
    """Maps (N, H, W) of evidence for pneumonia of uint8 `images` (N, S, S), and their means (N,).

    Class activation maps (Zhou et al., arXiv 1512.04150) of the pneumonias' logits, weighed by their shares q of
    P(pneumonia), less that of normal; the mean of a map is that difference, the operating point included. Raises
    CxrError unless the network ends in global average pooling and one linear layer.
    """
    ends = _pool_and_head(net)
    if ends is None:
        raise CxrError("class activation maps need a network that ends in average pooling and one linear layer")
    pool, head = ends
    caught: list[Tensor] = []
    hook = pool.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    net = net.eval().to(memory_format=torch.channels_last)
    device = next(net.parameters()).device
    maps, sums = [], []
    try:
        with torch.inference_mode():
            for part in torch.from_numpy(images).split(batch_size):
                logits = net(network_input(part.to(device)))
                shares = logits[:, 1:].softmax(dim=1)
                evidence = class_activation(caught.pop(), logits, head.weight)
                differences = (shares * logits[:, 1:]).sum(dim=1) - logits[:, 0]
                # Bias and operating point are of no place: spread evenly.
                offset = differences - evidence.mean(dim=(1, 2))
                maps.append((evidence + offset[:, None, None]).cpu().double().numpy())
                sums.append(differences.cpu().double().numpy())
    finally:
        hook.remove()
    return np.concatenate(maps), np.concatenate(sums)


def enlarged(maps: Floats, side: int) -> Floats:
    """Maps (N, H, W) interpolated to (N, side, side)."""
    size = (side, side)
    larger: Floats = interpolate(torch.from_numpy(maps)[:, None], size, mode="bilinear", align_corners=False)[
        :, 0
    ].numpy()
    return larger
