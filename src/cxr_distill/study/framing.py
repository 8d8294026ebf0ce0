"""Other ways than squashing to make a film square: cut to its middle, or bars on its narrow sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PIL import Image


def cropped(film: Image.Image) -> Image.Image:
    """The largest square in the middle of a film (mode L)."""
    side = min(film.size)
    left, top = (film.width - side) // 2, (film.height - side) // 2
    return film.crop((left, top, left + side, top + side))


def letterboxed(film: Image.Image) -> Image.Image:
    """A film (mode L) in the middle of the smallest black square that holds it."""
    side = max(film.size)
    square = Image.new("L", (side, side))
    square.paste(film, ((side - film.width) // 2, (side - film.height) // 2))
    return square


def as_it_is(film: Image.Image) -> Image.Image:
    """The film, for `pixels.squash` to make square."""
    return film


FRAMINGS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "squash": as_it_is,
    "crop": cropped,
    "letterbox": letterboxed,
}
"""What a film goes through before `pixels.squash`."""
