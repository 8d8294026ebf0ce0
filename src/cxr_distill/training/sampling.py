"""Normal and pneumonia in equal numbers: the order of an epoch, the weights of a loss, the statistics of BatchNorm.

The set has three times as many films with pneumonia as without; left alone, networks call nearly everything pneumonia.
And its normal films are sharper: what a network makes of that fails where normal films are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from torch.optim.swa_utils import update_bn

from cxr_distill.nets.common.views import View, network_input, octaves, to_input

BATCHNORM_IMAGES = 512


def balanced_order(labels: Tensor, weights: Tensor | None = None, *, seed: int, epoch: int) -> Tensor:
    """Row numbers of one epoch, shuffled: as many of normal as of pneumonia, in number those of the rarer one.

    Rows are drawn in proportion to `weights` (N,) by systematic resampling: all alike, no row comes twice. Balance by
    order rather than in the loss: an epoch costs half.
    """
    weights = torch.ones(len(labels), dtype=torch.float64) if weights is None else weights
    generator = torch.Generator().manual_seed((seed << 20) + epoch)
    groups = [torch.nonzero(group).squeeze(1) for group in (labels == 0, labels > 0)]
    size = min(len(group) for group in groups)

    def draw(group: Tensor) -> Tensor:
        group = group[torch.randperm(len(group), generator=generator)]
        mass = weights[group].cumsum(0)
        marks = (torch.arange(size) + torch.rand(1, dtype=torch.float64, generator=generator)) * (mass[-1] / size)
        return group[torch.searchsorted(mass, marks, right=True).clamp_(max=len(group) - 1)]

    drawn = torch.cat([draw(group) for group in groups])
    return drawn[torch.randperm(len(drawn), generator=generator)]


def shuffled_order(count: int, *, seed: int, epoch: int) -> Tensor:
    """Row numbers of one epoch, shuffled: every one of `count` rows."""
    return torch.randperm(count, generator=torch.Generator().manual_seed((seed << 20) + epoch))


def film_quality(images: Tensor) -> NDArray[Any]:
    """Features (N, OCTAVES + 4) of grey uint8 `images` (N, S, S) that tell how a film was taken rather than what it
    shows: share of the contrast in each octave, brightness, contrast, and brightness of the upper and lower border."""
    return torch.cat([_film_quality(part) for part in images.split(256)]).numpy()


def _film_quality(images: Tensor) -> Tensor:
    pixels = to_input(images)
    contrast = pixels.std(dim=(1, 2, 3))
    bands, _ = octaves(pixels)
    shares = [torch.log(band.std(dim=(1, 2, 3)) / (contrast + 1e-3) + 1e-3) for band in bands]
    border = max(1, images.shape[-1] // 12)
    brightness = [part.mean(dim=(1, 2, 3)) for part in (pixels, pixels[..., :border, :], pixels[..., -border:, :])]
    return torch.stack([*shares, *brightness, contrast], dim=1)


def overlap_weights(images: Tensor, labels: Tensor, *, strength: float) -> Tensor:
    """Weights float64 (N,) under which film quality tells less of normal from pneumonia.

    `strength` 1 gives overlap weights (Li, Morgan, Zaslavsky, JASA 2018, 10.1080/01621459.2016.1260466): each image
    counts by the probability, given its film quality, of the other class, which makes the means of the features equal
    in both. 0 leaves all weights alike.
    """
    features, sick = film_quality(images), (labels > 0).numpy()
    model = make_pipeline(
        StandardScaler(), PolynomialFeatures(2), LogisticRegression(max_iter=2000, class_weight="balanced")
    )
    p_sick = model.fit(features, sick).predict_proba(features)[:, 1]
    return torch.from_numpy(np.where(sick, 1 - p_sick, p_sick) ** strength)


def balanced_weights(labels: Tensor) -> Tensor:
    """Weights (N,), mean one, under which normal and pneumonia count equally."""
    normal = labels == 0
    share = normal.float().mean()
    return torch.where(normal, 0.5 / share, 0.5 / (1 - share))


def screening_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy (B,) in nats of normal against pneumonia, whichever pneumonia it is; logits (B, K), labels (B,)."""
    log_p = log_softmax(logits, dim=-1)
    return -torch.where(labels == 0, log_p[:, 0], log_p[:, 1:].logsumexp(dim=-1))


def estimate_batchnorm(net: nn.Module, images: Tensor, labels: Tensor, *, view: View | None = None) -> None:
    """Set the running statistics of BatchNorm to those of training `images` (N, S, S) as they are, or under `view`.

    A view is interpolated, hence softer than the image that it is of: statistics gathered on views put a whole image
    on the side of the sharper class. Uses at most BATCHNORM_IMAGES balanced rows; other networks are left unchanged.
    """
    device = next(net.parameters()).device
    rows = balanced_order(labels, seed=0, epoch=0)[:BATCHNORM_IMAGES]

    batches = (network_input(images[part], None if view is None else view.rows(part)) for part in rows.split(64))
    update_bn(batches, net, device=device)
