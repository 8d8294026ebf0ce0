"""Other ways than squashing to make a film square: cut to its middle, or bars on its narrow sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO

from PIL import Image

Framing = Callable[[bytes], bytes]
"""An image file to an image file that `pixels.decode` makes square, decoder and filter being those of training."""


def _grey(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as image:
        return image.convert("L")


def _file(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return file.getvalue()


def cropped(data: bytes) -> bytes:
    """The largest square in the middle of a JPEG or PNG, as a PNG."""
    image = _grey(data)
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    return _file(image.crop((left, top, left + side, top + side)))


def letterboxed(data: bytes) -> bytes:
    """A JPEG or PNG in the middle of the smallest black square that holds it, as a PNG."""
    image = _grey(data)
    side = max(image.size)
    square = Image.new("L", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return _file(square)


FRAMINGS: Mapping[str, Framing] = {"squash": bytes, "crop": cropped, "letterbox": letterboxed}
"""How an original becomes square."""
