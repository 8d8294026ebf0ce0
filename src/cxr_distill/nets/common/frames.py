"""The frame of a film: where its lungs lie in it, and affine maps that put them where another film has them.

A box is four shares of width and height: left, top, right, bottom of both lungs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def frame_map(own: Tensor, partner: Tensor) -> Tensor:
    """Affine maps float32 (N, 2, 3), output to input coordinates in [-1, 1], under which the lungs of films with
    boxes `own` (N, 4) lie where `partner` (N, 4) says."""
    middle, half = _middle_and_half(own)
    other_middle, other_half = _middle_and_half(partner)
    scale = half / other_half
    return torch.cat([torch.diag_embed(scale), (middle - scale * other_middle).unsqueeze(2)], dim=2)


def through(outer: Tensor, inner: Tensor) -> Tensor:
    """Affine maps (N, 2, 3) that apply `inner` and then `outer`."""
    turned = outer[:, :, :2] @ inner
    return torch.cat([turned[:, :, :2], turned[:, :, 2:] + outer[:, :, 2:]], dim=2)


def _middle_and_half(boxes: Tensor) -> tuple[Tensor, Tensor]:
    corners = 2 * boxes - 1
    return (corners[:, 2:] + corners[:, :2]) / 2, (corners[:, 2:] - corners[:, :2]) / 2


def in_frame(images: Tensor, own: Tensor, partner: Tensor) -> Tensor:
    """Uint8 `images` (N, S, S) with their lungs where `partner` says; borders repeat."""
    parts = []
    for rows in torch.arange(len(images)).split(256):
        pixels = images[rows].unsqueeze(1).float()
        grid = affine_grid(frame_map(own[rows], partner[rows]), list(pixels.shape), align_corners=False)
        moved = grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
        parts.append(moved.round().clamp(0, 255).to(torch.uint8).squeeze(1))
    return torch.cat(parts)
