"""From stored values of any depth to grey levels, without more memory than a picture needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_distill.films.pixels import BadPicture


def to_grey(values: NDArray[Any], black: float, white: float) -> NDArray[np.uint8]:
    """`values` as grey levels, 0 at `black` to 255 at `white`, clipped."""
    if not np.isfinite(values).all():
        raise BadPicture("its pixel values are not numbers")
    share = (values - black) / ((white - black) or 1)
    return np.clip(np.rint(share * 255), 0, 255).astype(np.uint8)


def looked_up(stored: NDArray[Any], table: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
    """`table[stored - first]`, row by row, because an index takes eight bytes per pixel."""
    grey = np.empty(stored.shape, np.uint8)
    for row, values in zip(grey, stored, strict=True):
        row[:] = table[values.astype(np.intp) - first]
    return grey
