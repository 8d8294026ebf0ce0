"""Normal and pneumonia in equal numbers: the order of an epoch, the weights of a loss, the statistics of BatchNorm.

The set has three times as many films with pneumonia as without; left alone, networks call nearly everything pneumonia.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from cxr_distill.views import View, network_input

BATCHNORM_IMAGES = 1024


def balanced_order(labels: Tensor, *, seed: int, epoch: int) -> Tensor:
    """Row numbers of one epoch: every row of the rarer of normal and pneumonia, and as many of the other, shuffled.

    Balance by order rather than by weight: no image is shown twice in the same view, and an epoch costs half.
    """
    generator = torch.Generator().manual_seed((seed << 20) + epoch)
    groups = [torch.nonzero(group).squeeze(1) for group in (labels == 0, labels > 0)]
    size = min(len(group) for group in groups)
    drawn = torch.cat([group[torch.randperm(len(group), generator=generator)[:size]] for group in groups])
    return drawn[torch.randperm(len(drawn), generator=generator)]


def balanced_weights(labels: Tensor) -> Tensor:
    """Weights (N,), mean one, under which normal and pneumonia count equally."""
    normal = labels == 0
    share = normal.float().mean()
    return torch.where(normal, 0.5 / share, 0.5 / (1 - share))


def estimate_batchnorm(net: nn.Module, images: Tensor, labels: Tensor, *, view: View | None = None) -> None:
    """Set the running statistics of BatchNorm to those of training `images` (N, S, S) as they are, or under `view`.

    A view is interpolated, hence softer than the image that it is of: statistics gathered on views put a whole image
    on the side of the sharper class. Uses at most BATCHNORM_IMAGES balanced rows; other networks are left unchanged.
    """
    device = next(net.parameters()).device
    rows = balanced_order(labels, seed=0, epoch=0)[:BATCHNORM_IMAGES]

    batches = (network_input(images[part], None if view is None else view.rows(part)) for part in rows.split(64))
    update_bn(batches, net, device=device)
