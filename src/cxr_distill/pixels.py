"""From the bytes of an image file to what a network sees: the one decoder and resizer, for training and screening."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 50_000_000
"""Six times the largest film of the data set; a bigger header is a mistake or an attack."""


class Decoded(NamedTuple):
    """A resized image and what was found in its file."""

    pixels: NDArray[Any]  # grey uint8 (S, S)
    width: int
    height: int
    mode: str
    sha256: str  # of width, height and `pixels`: equal for equal pictures, whatever their metadata


def decode(data: bytes, *, size: int) -> Decoded:
    """Decode a JPEG or PNG, turn it grey (ITU-R 601 luma) and squash it to `size` x `size`.

    The filter is Pillow's BILINEAR: a separable triangle whose support grows with the reduction, so that it
    anti-aliases. JPEG's scaled decoding is not used: a browser cannot repeat it. Raises ValueError with the reason.
    """
    try:
        with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"{width}x{height} pixels is too large")
            mode = image.mode
            image.load()
            grey = image if mode == "L" else image.convert("L")  # converting L to L would copy it
            small = np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR))
    except UnidentifiedImageError:
        raise ValueError("empty" if not data else "not a JPEG or PNG image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError("its header claims too many pixels") from None
    except (OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"corrupt: {error}") from None
    digest = sha256(f"{width}x{height}:".encode() + small.tobytes()).hexdigest()
    return Decoded(small, width, height, mode, digest)
