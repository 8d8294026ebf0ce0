"""A view: one random variant of every image, as a pure function of the images, a seed and a view number.

Teacher and student must see the same pixels, in any order, today and after a crash. So all random draws of a view
are made on the CPU for the whole set at once, and only then are rows picked from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate

from cxr_distill.nets.common.frames import frame_map, through
from cxr_distill.nets.common.params import ViewParams

OCTAVES = 4  # of detail: from one pixel to 16


@dataclass(frozen=True)
class View:
    """The draws of one view for N images; every field is float32 with N rows."""

    affine: Tensor  # (N, 2, 3), output to input coordinates in [-1, 1]
    contrast: Tensor  # (N,)
    brightness: Tensor  # (N,)
    detail: Tensor  # (N, OCTAVES): gain of each octave of detail, the finest first
    gamma: Tensor  # (N,)
    erased: Tensor  # (N, 3): centre x, centre y, half side, in [-1, 1] coordinates

    def rows(self, index: Tensor) -> View:
        """The draws of the images at `index` (B,)."""
        return View(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def to(self, device: torch.device) -> View:
        """The same draws on `device`."""
        return View(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def draw_view(images: int, params: ViewParams, *, number: int, boxes: Tensor | None = None) -> View:
    """The draws of view `number` for a set of `images` images.

    `boxes`: float32 (N, 4), the lungs of each film. With them, a film is mapped with probability `params.frame` so that
    its lungs lie where those of a partner lie, a random film of the set. Without them no frame is exchanged, and all
    other draws are the same.
    """
    generator = torch.Generator().manual_seed((params.seed << 20) + number)

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(images).uniform_(low, high, generator=generator)

    def around_one(spread: float) -> Tensor:
        # Symmetric in the logarithm: doubling is as likely as halving.
        return torch.exp(uniform(math.log1p(-spread), -math.log1p(-spread)))

    angle = uniform(-params.rotation_degrees, params.rotation_degrees) * (math.pi / 180)
    zoom, aspect = around_one(params.scale), around_one(params.aspect).sqrt()
    mirror = 1.0 - 2.0 * (uniform(0, 1) < params.flip).float()
    shift_x, shift_y = (uniform(-2 * params.translation, 2 * params.translation) for _ in "xy")
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack([mirror * cos * zoom * aspect, -mirror * sin * zoom, shift_x], dim=1)
    row_y = torch.stack([sin * zoom, cos * zoom / aspect, shift_y], dim=1)
    view = View(
        affine=torch.stack([row_x, row_y], dim=1),
        contrast=around_one(params.contrast),
        brightness=uniform(-params.brightness, params.brightness),
        gamma=around_one(params.gamma),
        detail=torch.stack([around_one(params.detail) for _ in range(OCTAVES)], dim=1),
        erased=torch.stack([uniform(-1, 1), uniform(-1, 1), uniform(0, params.erase)], dim=1),
    )
    if boxes is None or params.frame == 0:
        return view
    exchanged = uniform(0, 1) < params.frame
    partner = torch.randint(images, (images,), generator=generator)
    partner = torch.where(exchanged, partner, torch.arange(images))
    return replace(view, affine=through(frame_map(boxes, boxes[partner]), view.affine))


def joined(views: Sequence[View]) -> View:
    """The draws of several sets of images, one set after the other."""
    return View(**{each.name: torch.cat([getattr(view, each.name) for view in views]) for each in fields(View)})


def to_input(images: Tensor) -> Tensor:
    """Network input, float32 (B, 1, S, S) in [0, 1], from grey uint8 `images` (B, S, S)."""
    return images.unsqueeze(1).float().div_(255)


def network_input(images: Tensor, view: View | None = None) -> Tensor:
    """Uint8 `images` (B, S, S) as they are, or under a view with B rows: float32 (B, 1, S, S) in [0, 1].

    Stored channels last: convolutions on a CPU then take half the time.
    """
    pixels = to_input(images) if view is None else apply_view(images, view)
    return pixels.contiguous(memory_format=torch.channels_last)


def apply_view(images: Tensor, view: View) -> Tensor:
    """Network input, float32 (B, 1, S, S) in [0, 1], of uint8 `images` (B, S, S) under a view with B rows."""
    batch, side = images.shape[0], images.shape[-1]
    grid = affine_grid(view.affine, [batch, 1, side, side], align_corners=False)
    # Padding repeats the edge pixels: black bars would show a network that a film was squeezed.
    pixels = grid_sample(to_input(images), grid, mode="bilinear", padding_mode="border", align_corners=False)

    def per_image(values: Tensor) -> Tensor:
        return values.view(batch, 1, 1, 1)

    # pixels ** gamma; torch.pow takes four times as long.
    pixels = gain_octaves(pixels, view.detail).clamp_(1e-4, 1).log_().mul_(per_image(view.gamma)).exp_()
    pixels.sub_(0.5).mul_(per_image(view.contrast)).add_(per_image(view.brightness + 0.5))
    axis = (torch.arange(side, device=images.device) + 0.5) * (2 / side) - 1
    x, y, half = view.erased.unsqueeze(2).unbind(dim=1)
    inside_x, inside_y = (axis - x).abs() < half, (axis - y).abs() < half
    erased = (inside_y.unsqueeze(2) & inside_x.unsqueeze(1)).unsqueeze(1)
    return torch.where(erased, 0.5, pixels.clamp_(0, 1))


def octaves(pixels: Tensor) -> tuple[list[Tensor], Tensor]:
    """(B, 1, S, S) as OCTAVES bands of detail, band k holding 2**k to 2**(k+1) pixels, and the coarse rest.

    A Laplacian pyramid (Burt and Adelson, 1983): The bands added to the enlarged rest give the image back.
    """
    bands = []
    for _ in range(OCTAVES):
        fine, pixels = pixels, avg_pool2d(pixels, 2, ceil_mode=True)
        bands.append(fine - interpolate(pixels, fine.shape[-2:], mode="bilinear"))
    return bands, pixels


def gain_octaves(pixels: Tensor, gains: Tensor) -> Tensor:
    """(B, 1, S, S) with the bands of `octaves` times `gains` (B, OCTAVES), the finest first, put together again.

    With band k = image k - up(image k+1), the sum of the bands telescopes, so no band has to be computed.
    """
    images = [pixels]
    for _ in range(OCTAVES):
        images.append(avg_pool2d(images[-1], 2, ceil_mode=True))
    result = images[-1]
    for level in reversed(range(OCTAVES)):
        gain = gains[:, level].view(-1, 1, 1, 1)
        rest = result - gain * images[level + 1]
        result = gain * images[level] + interpolate(rest, images[level].shape[-2:], mode="bilinear")
    return result


def stretch(images: Tensor, width: float) -> Tensor:
    """Network input, float32 (B, 1, S, S) in [0, 1], of uint8 `images` (B, S, S) with films `width` times as wide.

    Squashing a wider film to a square narrows what it shows; padding repeats the edge pixels.
    """
    theta = torch.tensor([[width, 0.0, 0.0], [0.0, 1.0, 0.0]], device=images.device).expand(len(images), 2, 3)
    pixels = to_input(images)
    grid = affine_grid(theta, list(pixels.shape), align_corners=False)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
