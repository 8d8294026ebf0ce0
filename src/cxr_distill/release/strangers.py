"""Pictures that are not upright chest films, drawn or made from films: a screening program should reject them.

Half of the kinds were looked at while the score of `typicality.py` was designed. The other half was not: its
rejection rate is the better estimate for kinds that nobody thought of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, rotate, zoom
from scipy.special import expit

from cxr_distill.films.pixels import squash

Grid = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Random = np.random.Generator
WORDS = ["patient", "report", "chest", "of", "the", "and", "with", "no", "acute", "findings", "left", "upper", "date"]


def draw_strangers(
    kinds: Mapping[str, Callable[[Random], Grid]], *, count: int, size: int, seed: int
) -> dict[str, Pixels]:
    """For each of `kinds` (DRAWN or DRAWN_UNSEEN), `count` pictures resized to uint8 (count, size, size)."""
    return {
        name: np.stack([_squashed(draw(np.random.default_rng([seed, number])), size) for number in range(count)])
        for name, draw in kinds.items()
    }


def alter_films(kinds: Mapping[str, Callable[[Grid], Grid]], films: Pixels) -> dict[str, Pixels]:
    """For each of `kinds` (ALTERED or ALTERED_UNSEEN), the altered `films`, uint8 (N, S, S)."""
    size = films.shape[-1]
    return {
        name: np.stack([_squashed(alter(film.astype(np.float64) / 255), size) for film in films])
        for name, alter in kinds.items()
    }


def _squashed(picture: Grid, size: int) -> Pixels:
    return squash(Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8)), size=size)


def _shape(random: Random) -> tuple[int, int]:
    height, width = (int(side) for side in random.integers(160, 321, 2))
    return height, width


def _axes(shape: tuple[int, int]) -> tuple[Grid, Grid]:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return y, x


def _coloured_noise(random: Random, shape: tuple[int, int], slope: float) -> Grid:
    """Noise with mean 0 and standard deviation 1; its amplitude is frequency to the power -`slope`."""
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(random.normal(size=shape)) * frequency**-slope, s=shape)
    return (noise - noise.mean()) / noise.std()


def _noise(random: Random) -> Grid:
    grain = gaussian_filter(random.normal(size=_shape(random)), random.uniform(0, 4))
    return 0.5 + grain / grain.std() * random.uniform(0.05, 0.3)


def _flat(random: Random) -> Grid:
    return random.uniform(0, 1) + random.normal(0, random.choice([0, 0.004, 0.02]), _shape(random))


def _gradient(random: Random) -> Grid:
    y, x = _axes(_shape(random))
    angle, radial = random.uniform(0, 2 * np.pi), random.uniform(-1, 1)
    ramp = np.cos(angle) * x + np.sin(angle) * y + radial * (x**2 + y**2)
    low, high = np.sort(random.uniform(0, 1, 2))
    return low + (high - low) * (ramp - ramp.min()) / np.ptp(ramp)


def _text(random: Random) -> Grid:
    height, width = _shape(random)
    dark_on_light = random.random() < 0.7
    page = Image.new("L", (width, height), 245 if dark_on_light else 20)
    draw = ImageDraw.Draw(page)
    step = int(random.integers(10, 22))
    for y in range(int(random.integers(4, 24)), height - step, step):
        if random.random() < 0.85:
            words = " ".join(random.choice(WORDS, int(random.integers(2, 12))))
            draw.text((int(random.integers(6, 20)), y), words, fill=20 if dark_on_light else 235)
    return np.asarray(page, dtype=np.float64) / 255


def _drawing(random: Random) -> Grid:
    height, width = _shape(random)
    page = Image.new("L", (width, height), int(random.integers(0, 256)))
    draw = ImageDraw.Draw(page)
    for _ in range(int(random.integers(3, 25))):
        (x0, x1), (y0, y1) = (np.sort(random.integers(0, side, 2)).tolist() for side in (width, height))
        grey = int(random.integers(0, 256))
        shape = random.choice(["ellipse", "box", "line"])
        if shape == "line":
            draw.line((x0, y0, x1, y1), fill=grey, width=int(random.integers(1, 8)))
        elif shape == "box":
            draw.rectangle((x0, y0, x1, y1), fill=grey)
        else:
            draw.ellipse((x0, y0, x1, y1), fill=grey)
    return np.asarray(page, dtype=np.float64) / 255


def _photograph(random: Random) -> Grid:
    # Discs that cover each other, each with its own shade and texture, have the statistics of photographs
    # (Lee, Mumford, Huang, "Occlusion models for natural images", IJCV 2001).
    shape = _shape(random)
    y, x = _axes(shape)
    texture = _coloured_noise(random, shape, 0.8)
    picture = 0.5 + 0.1 * _coloured_noise(random, shape, 1.0)
    for _ in range(int(random.integers(15, 60))):
        radius = min(1.2, 0.08 / random.uniform(0.05, 1))
        inside = np.hypot(x - random.uniform(-1, 1), y - random.uniform(-1, 1)) < radius
        shade = random.uniform(0, 1) + random.uniform(-0.3, 0.3) * x
        picture = np.where(inside, shade + 0.06 * np.roll(texture, random.integers(0, 99, 2), (0, 1)), picture)
    return gaussian_filter(picture, random.uniform(0.3, 1.2))


def _xray_texture(random: Random) -> Grid:
    shape = _shape(random)
    y, x = _axes(shape)
    clouds = _coloured_noise(random, shape, random.uniform(1.2, 2.0))
    ribs = np.cos(2 * np.pi * (y + 0.3 * x**2) / random.uniform(0.15, 0.4)) * random.uniform(0, 0.6)
    return (0.5 + 0.18 * clouds + 0.08 * ribs) * (1 - random.uniform(0, 0.6) * np.hypot(x, y) ** 2)


def _pattern(random: Random) -> Grid:
    y, x = _axes(_shape(random))
    angle, waves = random.uniform(0, np.pi), random.uniform(2, 30)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    wave = np.sin(waves * np.pi * along)
    if random.random() < 0.5:
        wave = wave * np.sin(waves * np.pi * across)
    if random.random() < 0.5:
        wave = np.sign(wave)
    return 0.5 + random.uniform(0.1, 0.5) * wave


def _landscape(random: Random) -> Grid:
    shape = _shape(random)
    y, x = _axes(shape)
    picture = random.uniform(0.6, 0.95) - random.uniform(0, 0.3) * y + 0.05 * _coloured_noise(random, shape, 1.8)
    for base in np.sort(random.uniform(-0.3, 0.9, int(random.integers(1, 5)))):
        hills = base + sum(random.uniform(0, 0.2) / n * np.sin(n * 2 * x + random.uniform(0, 7)) for n in range(1, 7))
        ground = random.uniform(0.1, 0.6) + 0.08 * _coloured_noise(random, shape, random.uniform(0.5, 1.2))
        picture = np.where(y > hills, ground, picture)
    return picture


def _portrait(random: Random) -> Grid:
    shape = _shape(random)
    y, x = _axes(shape)

    def spot(centre_x: float, centre_y: float, wide: float, high: float) -> Grid:
        return np.asarray(expit(20 * (1 - np.hypot((x - centre_x) / wide, (y - centre_y) / high))))

    skin, around = random.uniform(0.4, 0.9), random.uniform(0, 1)
    picture = around + 0.05 * _coloured_noise(random, shape, 1.2)
    tilt, up = random.uniform(-0.15, 0.15), random.uniform(-0.25, 0.05)
    for mask, shade in [
        (spot(tilt, 1.1, random.uniform(0.6, 0.9), 0.6), random.uniform(0, 1)),
        (spot(tilt, up - 0.1, 0.5, 0.65), random.uniform(0, 0.5)),
        (spot(tilt, up, 0.4, 0.55), skin),
        (spot(tilt - 0.16, up - 0.08, 0.08, 0.04), 0.15),
        (spot(tilt + 0.16, up - 0.08, 0.08, 0.04), 0.15),
        (spot(tilt, up + 0.28, 0.15, 0.04), skin * 0.6),
    ]:
        picture = picture * (1 - mask) + shade * mask
    return picture + 0.03 * _coloured_noise(random, shape, 0.8)


def _limb(random: Random) -> Grid:
    # A radiograph of a hand or a limb: bright bones in darker flesh on black.
    shape = _shape(random)
    y, x = _axes(shape)
    picture = np.zeros(shape)
    for _ in range(int(random.integers(1, 7))):
        angle, at = random.normal(np.pi / 2, 0.5), random.uniform(-0.7, 0.7)
        across = np.abs(np.cos(angle) * y - np.sin(angle) * (x - at))
        wide = random.uniform(0.08, 0.25)
        flesh, bone = (expit((w - across) / 0.02) for w in (wide, wide * 0.45))
        marrow = np.exp(-((across / (wide * 0.2)) ** 2))
        picture = np.maximum(picture, 0.3 * flesh + 0.5 * bone - 0.15 * marrow)
    return picture * random.uniform(0.7, 1.1) + random.normal(0, 0.015, shape) + random.uniform(0, 0.1)


def _skull(random: Random) -> Grid:
    shape = _shape(random)
    y, x = _axes(shape)
    radius = np.hypot((x - random.uniform(-0.1, 0.1)) / random.uniform(0.6, 0.8), (y + 0.1) / random.uniform(0.7, 0.9))
    head = expit(30 * (1 - radius))
    vault = np.exp(-(((radius - 0.95) / 0.06) ** 2))
    jaw = np.exp(-(((np.hypot(x / 0.45, (y - 0.55) / 0.3) - 1) / 0.25) ** 2))
    picture = 0.4 * head + 0.4 * vault + 0.3 * jaw + 0.05 * _coloured_noise(random, shape, 1.3) * head
    return picture * random.uniform(0.8, 1.2) + random.uniform(0, 0.08)


def _screenshot(random: Random) -> Grid:
    height, width = _shape(random)
    page = Image.new("L", (width, height), int(random.integers(180, 256)))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, width, int(random.integers(8, 26))), fill=int(random.integers(0, 120)))
    draw.rectangle((0, 0, int(random.integers(10, 80)), height), fill=int(random.integers(60, 230)))
    for _ in range(int(random.integers(3, 12))):
        x, y = int(random.integers(0, width - 40)), int(random.integers(0, height - 20))
        box = (x, y, x + int(random.integers(20, 140)), y + int(random.integers(10, 90)))
        draw.rectangle(box, fill=int(random.integers(0, 256)), outline=90)
        draw.text((x + 3, y + 2), str(random.choice(WORDS)), fill=int(random.integers(0, 256)))
    return np.asarray(page, dtype=np.float64) / 255


def _barcode(random: Random) -> Grid:
    height, width = _shape(random)
    cell = int(random.integers(3, 14))
    square = random.random() < 0.5
    cells = random.integers(0, 2, (height // cell + 1, width // cell + 1)).astype(np.float64)
    rows, columns = np.arange(height) // (cell if square else height), np.arange(width) // cell
    return cells[rows[:, None], columns]


def _cells(random: Random) -> Grid:
    # As under a microscope: many similar blobs.
    shape = _shape(random)
    points = np.zeros(shape)
    points[random.integers(0, shape[0], 150), random.integers(0, shape[1], 150)] = 1
    blobs = gaussian_filter(points, random.uniform(2, 8))
    sign = random.choice([-1, 1])
    return 0.5 + sign * (blobs / blobs.max() - 0.4) * random.uniform(0.4, 0.8) + random.normal(0, 0.02, shape)


def _shuffled(film: Grid) -> Grid:
    random = np.random.default_rng(int(film.sum() * 255))
    third = film.shape[0] // 3
    tiles = [film[r * third : (r + 1) * third, c * third : (c + 1) * third] for r in range(3) for c in range(3)]
    order = random.permutation(9)
    return np.block([[tiles[order[3 * r + c]] for c in range(3)] for r in range(3)])


def _corner(film: Grid) -> Grid:
    half = film.shape[0] // 2
    return zoom(film[:half, :half], 2, order=1)


def _small_on_page(film: Grid) -> Grid:
    side = film.shape[0]
    page = np.full((side, side), 0.95)
    small = zoom(film, 0.4, order=1)
    page[side // 3 : side // 3 + small.shape[0], side // 4 : side // 4 + small.shape[1]] = small
    return page


DRAWN: dict[str, Callable[[Random], Grid]] = {
    "noise": _noise,
    "flat": _flat,
    "gradient": _gradient,
    "text": _text,
    "drawing": _drawing,
    "photograph": _photograph,
    "X-ray texture": _xray_texture,
}
"""Drawn kinds that were looked at while the score was designed."""

DRAWN_UNSEEN: dict[str, Callable[[Random], Grid]] = {
    "pattern": _pattern,
    "landscape": _landscape,
    "portrait": _portrait,
    "limb X-ray": _limb,
    "skull X-ray": _skull,
    "screenshot": _screenshot,
    "barcode": _barcode,
    "cells": _cells,
}
"""Drawn kinds that were not."""

ALTERED: dict[str, Callable[[Grid], Grid]] = {
    "turned left": lambda film: np.rot90(film),
    "turned right": lambda film: np.rot90(film, -1),
    "upside down": lambda film: np.rot90(film, 2),
    "inverted": lambda film: 1 - film,
}
"""Altered films of the kinds that the score itself tests for."""

ALTERED_UNSEEN: dict[str, Callable[[Grid], Grid]] = {
    "turned by 45 degrees": lambda film: rotate(film, 45, reshape=False, order=1),
    "turned left, inverted": lambda film: 1 - np.rot90(film),
    "upside down, inverted": lambda film: 1 - np.rot90(film, 2),
    "tiles shuffled": _shuffled,
    "one corner": _corner,
    "small on a page": _small_on_page,
    "two side by side": lambda film: np.hstack([film, film]),
}
"""Altered films of kinds that were not looked at while the score was designed."""
