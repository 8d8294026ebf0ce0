"""The running statistics of BatchNorm, gathered anew on images of one's choice."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from cxr_distill.nets.common.views import View, network_input

BATCHNORM_IMAGES = 512
"""Images that are enough for the statistics."""


def estimate_batchnorm(net: nn.Module, images: Tensor, rows: Tensor, *, view: View | None = None) -> None:
    """Set the running statistics to those of the `rows` (at most BATCHNORM_IMAGES) of uint8 `images` (N, S, S).

    Of the images as they are, or under `view`. A view is interpolated, and so softer than its image: statistics
    gathered on views shift whole images towards the class whose films are sharper. Networks without BatchNorm are left
    unchanged.
    """
    device = next(net.parameters()).device
    parts = rows[:BATCHNORM_IMAGES].split(64)
    batches = (
        network_input(images[part].to(device), None if view is None else view.rows(part).to(device)) for part in parts
    )
    update_bn(batches, net, device=device)
