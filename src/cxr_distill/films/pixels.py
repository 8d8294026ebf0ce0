"""From the bytes of an image file to the network's input: training and screening share this decoder and resizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 50_000_000
"""Six times the largest film of the data set; a bigger header is a mistake or an attack."""


class BadPicture(ValueError):
    """Some bytes give no usable picture; the message tells a person why."""


class Decoded(NamedTuple):
    """A resized image and facts about its file."""

    pixels: NDArray[Any]  # grey uint8 (S, S)
    width: int
    height: int
    mode: str
    sha256: str  # of width, height and `pixels`; metadata in the file does not change it


def decode(data: bytes, *, size: int) -> Decoded:
    """Decode a JPEG or PNG, turn it grey and squash it to `size` x `size`. Raises BadPicture."""
    with open_picture(data, formats=("JPEG", "PNG")) as image:
        (width, height), mode = image.size, image.mode
        small = squash(as_grey(image), size=size)
    digest = sha256(f"{width}x{height}:".encode() + small.tobytes()).hexdigest()
    return Decoded(small, width, height, mode, digest)


@contextmanager
def open_picture(data: bytes, *, formats: Sequence[str]) -> Iterator[Image.Image]:
    """The picture in `data`, loaded. Raises BadPicture if it has another format, is damaged or is too large.

    JPEG's scaled decoding is not used, because browsers do not have it.
    """
    try:
        with Image.open(BytesIO(data), formats=tuple(formats)) as image:
            check_pixels(*image.size)
            image.load()
            yield image
    except UnidentifiedImageError:
        known = f"{', '.join(formats[:-1])} or {formats[-1]}"
        raise BadPicture("empty" if not data else f"not a {known} image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadPicture("its header claims too many pixels") from None
    except (OSError, SyntaxError, EOFError) as error:
        raise BadPicture(f"corrupt: {error}") from None


def check_pixels(width: int, height: int) -> None:
    """Raises BadPicture if a picture of this size is too large to be a film."""
    if width * height > MAX_PIXELS:
        raise BadPicture(f"{width}x{height} pixels is too large")


def as_grey(image: Image.Image) -> Image.Image:
    """Mode L from any 8-bit mode: ITU-R 601 luma."""
    return image if image.mode == "L" else image.convert("L")  # converting L to L would copy it


def squash(grey: Image.Image, *, size: int) -> NDArray[np.uint8]:
    """A grey picture as uint8 (size, size), whatever its shape.

    The filter is Pillow's BILINEAR: a separable triangle whose support grows with the reduction, so that it
    anti-aliases.
    """
    return np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR))
