"""Where a network looks: class activation maps, how far those of two networks overlap, and a picture of some."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.bootstrap import Floats
from cxr_distill.evaluation.figures import png
from cxr_distill.nets.common.activation import class_activation
from cxr_distill.nets.common.views import network_input

TOP = 0.2  # share of an image that counts as looked at


def activation_maps(net: nn.Module, images: NDArray[np.uint8], *, batch_size: int = 64) -> tuple[Floats, Floats]:
    """Maps (N, H, W) of evidence for pneumonia of uint8 `images` (N, S, S), and their means (N,).

    Class activation maps (Zhou et al., arXiv 1512.04150) of the pneumonias' logits, weighed by their shares q of
    P(pneumonia), less that of normal; the mean of a map is that difference, the operating point included. Raises
    CxrError unless the network ends in global average pooling and one linear layer.
    """
    pools = [module for module in net.modules() if isinstance(module, nn.AdaptiveAvgPool2d)]
    heads = [module for module in net.modules() if isinstance(module, nn.Linear)]
    if len(pools) != 1 or len(heads) != 1 or pools[0].output_size not in (1, (1, 1)):
        raise CxrError("class activation maps need a network that ends in average pooling and one linear layer")
    caught: list[Tensor] = []
    hook = pools[0].register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    net = net.eval().to(memory_format=torch.channels_last)
    maps, sums = [], []
    try:
        with torch.inference_mode():
            for part in torch.from_numpy(images).split(batch_size):
                logits = net(network_input(part))
                shares = logits[:, 1:].softmax(dim=1)
                evidence = class_activation(caught.pop(), logits, heads[0].weight)
                differences = (shares * logits[:, 1:]).sum(dim=1) - logits[:, 0]
                # Bias and operating point are of no place: spread evenly.
                offset = differences - evidence.mean(dim=(1, 2))
                maps.append((evidence + offset[:, None, None]).double().numpy())
                sums.append(differences.double().numpy())
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


def overlap(one: Floats, other: Floats) -> Floats:
    """Intersection over union (N,) of the TOP share of every map; maps (N, S, S) of one size."""
    high = []
    for maps in (one, other):
        flat = maps.reshape(len(maps), -1)
        high.append(rankdata(flat, axis=1, method="ordinal") > round((1 - TOP) * flat.shape[1]))
    both, either = (high[0] & high[1]).sum(axis=1), (high[0] | high[1]).sum(axis=1)
    return np.asarray(both / either, dtype=np.float64)


def rank_correlation(one: Floats, other: Floats) -> Floats:
    """Spearman's correlation (N,) of maps (N, S, S) place by place; 0 where a map is flat."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    scale = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    return np.asarray((centred[0] * centred[1]).sum(axis=1) / np.where(scale > 0, scale, 1), dtype=np.float64)


def maps_picture(
    images: NDArray[np.uint8], maps: Mapping[str, Floats], cases: Mapping[str, NDArray[Any]], *, title: str
) -> bytes:
    """PNG bytes: for the rows of every case the image, and on it each network's map; maps (N, S, S) by network."""
    rows = [(case, row) for case, chosen in cases.items() for row in chosen]
    figure = Figure(figsize=(1.6 * len(rows), 1.75 * (len(maps) + 1) + 0.6), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(maps) + 1, len(rows), squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for (case, row), column in zip(rows, grid.T, strict=True):
        column[0].set_title(case, fontsize=8)
        for axes, network in zip(column, [None, *maps], strict=True):
            axes.imshow(images[row], cmap="gray", vmin=0, vmax=255)
            if network is not None:
                axes.imshow(maps[network][row], cmap="cividis", alpha=0.45)
    for axes, name in zip(grid[:, 0], ["image", *maps], strict=True):
        axes.set_ylabel(name, fontsize=8)
    return png(figure, dpi=90)


def overlap_table(maps: Mapping[str, Floats], files: list[str]) -> pd.DataFrame:
    """Columns file, one, other, iou, iou_by_chance, correlation: every pair of networks on every image.

    iou_by_chance pairs a map with the other network's map of another image: what two networks that look at the middle
    of any film share without having seen the same one.
    """
    parts = []
    shuffled = np.random.default_rng(0).permutation(len(files))
    for one, other in combinations(maps, 2):
        parts.append(
            pd.DataFrame(
                {
                    "file": files,
                    "one": one,
                    "other": other,
                    "iou": overlap(maps[one], maps[other]),
                    "iou_by_chance": overlap(maps[one], maps[other][shuffled]),
                    "correlation": rank_correlation(maps[one], maps[other]),
                }
            )
        )
    return pd.concat(parts)
