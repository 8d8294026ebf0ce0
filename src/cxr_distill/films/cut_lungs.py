"""The lungs cut out of a film: every film in the same frame, at the teacher's size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_distill.films.pixels import as_grey, open_picture

MARGIN = 0.1
"""Of the box's width and height, on each side. A view moves and zooms within it and a little beyond."""


Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the film's width and height."""


def cut_lungs(boxes: Mapping[str, Box], size: int, data: bytes, file: str) -> NDArray[np.uint8]:
    """The lungs of the JPEG or PNG `data`, whose name in `boxes` is `file`, as grey uint8 (size, size).

    The box grows by MARGIN; beyond the film, its edge pixels repeat. Raises BadPicture.
    """
    with open_picture(data, formats=("JPEG", "PNG")) as image:
        return cut_box(as_grey(image), boxes[file], size=size)


def cut_box(grey: Image.Image, box: Box, *, size: int) -> NDArray[np.uint8]:
    """The part `box` of a grey picture, grown by MARGIN, as uint8 (size, size)."""
    left, top, right, bottom = (share * side for share, side in zip(box, grey.size * 2, strict=True))
    across, down = MARGIN * (right - left), MARGIN * (bottom - top)
    left, top, right, bottom = left - across, top - down, right + across, bottom + down
    before = [max(0, int(np.ceil(-edge))) for edge in (left, top)]
    after = [max(0, int(np.ceil(edge - side))) for edge, side in zip((right, bottom), grey.size, strict=True)]
    if any(before + after):
        padding = [(before[1], after[1]), (before[0], after[0])]
        grey = Image.fromarray(np.pad(np.asarray(grey), padding, mode="edge"))
    part = (left + before[0], top + before[1], right + before[0], bottom + before[1])
    return np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR, box=part))
