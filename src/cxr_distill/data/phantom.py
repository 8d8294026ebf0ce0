"""Synthetic chests in an archive with Kaggle's layout and its irregularities, for the demo and the tests.

Lungs, ribs, spine, heart, diaphragm and a side marker are drawn with their own proportions for every patient;
pneumonia adds opacities of graded strength: one lobe for bacterial, a diffuse pattern in both lungs for viral. Some
normal films carry a confounder (a fold or a shadow), so that the classes overlap and no metric saturates.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, NamedTuple
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from cxr_distill.base.files import whole_file
from cxr_distill.base.params import Fraction, Params, Seed
from cxr_distill.data.source import SplitCounts

Grid = NDArray[np.float64]


class Film(NamedTuple):
    """A drawn chest: a JPEG, and left, top, right, bottom of both lungs as shares of its width and height."""

    jpeg: bytes
    lungs: tuple[float, float, float, float]


BACTERIAL_SHARE = 2 / 3
SECOND_FILM = 0.25  # probability that a film is another one of the patient before
OPACITY = (0.03, 0.26)  # least and most
DIAPHRAGM = 0.62  # height of its middle, from -1 at the top to 1 at the bottom
DUPLICATES = 3  # films of train that are stored under a second name


class PhantomParams(Params):
    """Section `data.phantom`: what `write_archive` asks for."""

    seed: Seed
    opacity: Annotated[list[Fraction], Field(min_length=2, max_length=2)]
    wrong_labels: Fraction


def write_archive(
    path: Path, counts: SplitCounts, *, seed: int, opacity: Sequence[float] = OPACITY, wrong_labels: float = 0.0
) -> None:
    """Write the archive with `counts` images per folder; the same arguments give the same bytes.

    opacity: how much a pneumonia brightens the lung, least and most, as shares of the grey range.
    wrong_labels: probability that a film of train or val shows no pneumonia where its folder and name say pneumonia, or
    the reverse. Test films always show what their names say.
    """
    names = _names(counts, np.random.default_rng(seed))
    wrong = np.random.default_rng([seed, len(names)])  # no film's own stream
    previous: dict[str, Film] = {}
    boxes = ["file,left,top,right,bottom\n"]
    with whole_file(path) as beside, ZipFile(beside, "w", ZIP_STORED) as archive:
        for number, (folder, name) in enumerate(tqdm(names, desc="draw phantoms", unit="image")):
            train_normal = folder == "train/NORMAL"
            if train_normal and 0 < number <= DUPLICATES:
                film = previous[folder]
            else:
                mislabelled = wrong.random() < wrong_labels and not folder.startswith("test/")
                shown = _other(name, wrong) if mislabelled else name
                film = draw_film(shown, np.random.default_rng([seed, number]), opacity=opacity)
            previous[folder] = film
            boxes.append(f"{folder}/{name},{','.join(f'{side:.4f}' for side in film.lungs)}\n")
            _store(archive, f"chest_xray/{folder}/{name}", film.jpeg)
            _store(archive, f"chest_xray/chest_xray/{folder}/{name}", film.jpeg)
            _store(archive, f"chest_xray/__MACOSX/{folder}/._{name}", b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
        for folder in sorted({folder for folder, _ in names}):
            _store(archive, f"chest_xray/{folder}/.DS_Store", b"\x00\x00\x00\x01Bud1")
        _store(archive, "chest_xray/lungs.csv", "".join(boxes).encode())


def _store(archive: ZipFile, name: str, content: bytes) -> None:
    archive.writestr(ZipInfo(name, date_time=(2018, 3, 24, 0, 0, 0)), content)


def _names(counts: SplitCounts, random: np.random.Generator) -> list[tuple[str, str]]:
    names = []
    patient, image = 0, 0
    for split, classes in counts.model_dump().items():
        for label, count in classes.items():
            germ = ""
            film = 0
            for _ in range(count):
                image += 1
                if film and random.random() < SECOND_FILM:
                    film += 1
                else:
                    patient, film = patient + 1, 1
                    germ = "bacteria" if random.random() < BACTERIAL_SHARE else "virus"
                if label == "NORMAL":
                    name = f"{'NORMAL2-' if patient % 3 == 0 else ''}IM-{patient:04d}-{film:04d}.jpeg"
                else:
                    name = f"person{patient}_{germ}_{image}.jpeg"
                names.append((f"{split}/{label}", name))
    return names


def _other(name: str, random: np.random.Generator) -> str:
    """A germ for the name of a normal film, and the reverse."""
    if "bacteria" in name or "virus" in name:
        return "normal"
    return "bacteria" if random.random() < BACTERIAL_SHARE else "virus"


def draw_film(name: str, random: np.random.Generator, *, opacity: Sequence[float] = OPACITY) -> Film:
    """One chest; `name` says whether it is normal, bacterial or viral.

    `opacity`: see `write_archive`.
    """
    width, height = (int(side) for side in random.integers(120, 181, 2))
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    right_by, down_by = random.normal(0, 0.04), random.normal(0, 0.04)
    x = x + right_by
    y = y + down_by
    size, gap = random.uniform(0.85, 1.1), random.uniform(0.42, 0.5)
    left, right = (_ellipse(x, y, (side * gap, -0.05), (0.33 * size, 0.68 * size)) for side in (-1, 1))
    lungs = np.maximum(left, right)
    film = 0.62 - 0.38 * lungs
    film += 0.22 * np.exp(-((x / 0.09) ** 2)) * (1 + 0.15 * np.sin(y * 40))
    film += 0.25 * _ellipse(x, y, (0.14, 0.28), (0.34 * size, 0.3))
    film += 0.3 * _edge(y - DIAPHRAGM + 0.25 * np.abs(np.abs(x) - gap) * random.uniform(0.6, 1.4))
    spacing, phase = random.uniform(0.16, 0.2), random.uniform(0, 1)
    ribs = np.cos(2 * np.pi * ((y + 0.35 * x**2 + 0.12 * np.abs(x)) / spacing + phase))
    film += 0.07 * np.clip(ribs, 0, 1) * (0.3 + 0.7 * lungs)
    film += _opacity(name, x, y, lungs, strength=opacity, random=random)
    film -= 0.5 * _edge(np.hypot(x * 0.9, y * 0.75) - 0.98)
    film = (film - 0.5) * random.uniform(0.75, 1.25) + 0.5 + random.normal(0, 0.06)
    film = gaussian_filter(film, 0.8) + random.normal(0, 0.025, film.shape)
    film[6:18, 8:11] = 0.95  # the side marker, an L
    film[16:18, 8:15] = 0.95
    image = Image.fromarray((np.clip(film, 0, 1) * 255).astype(np.uint8))
    if random.random() < 0.05:
        image = image.convert("RGB")
    content = BytesIO()
    image.save(content, "JPEG", quality=85)
    across, above, below = gap + 0.33 * size, -0.05 - 0.68 * size, min(-0.05 + 0.68 * size, DIAPHRAGM)
    corners = (-across - right_by, above - down_by, across - right_by, below - down_by)
    edges = np.clip((np.array(corners) + 1) / 2, 0, 1).tolist()
    return Film(content.getvalue(), (edges[0], edges[1], edges[2], edges[3]))


def _opacity(
    name: str, x: Grid, y: Grid, lungs: Grid, *, strength: Sequence[float], random: np.random.Generator
) -> Grid:
    side = random.choice((-1, 1))
    spot = (side * random.uniform(0.3, 0.6), random.uniform(-0.45, 0.4))
    brighter = random.uniform(strength[0], strength[1])
    noise = random.normal(size=lungs.shape)

    def texture() -> Grid:
        soft = gaussian_filter(noise, 2.5)
        return soft / soft.std()

    if "bacteria" in name:
        blob = _ellipse(x, y, spot, (random.uniform(0.16, 0.3), random.uniform(0.16, 0.34)))
        return brighter * lungs * blob * (1 + 0.2 * texture())
    if "virus" in name:
        return 0.8 * brighter * lungs * (0.45 + 0.5 * texture())
    if random.random() < 0.3:
        return 0.3 * brighter * lungs * (0.5 * texture() + _ellipse(x, y, spot, (0.25, 0.12)))
    return np.zeros_like(lungs)


def _ellipse(x: Grid, y: Grid, centre: tuple[float, float], radii: tuple[float, float]) -> Grid:
    return 1 - _edge(np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1]) - 1, softness=0.12)


def _edge(distance: Grid, *, softness: float = 0.04) -> Grid:
    """0 inside (negative distance) to 1 outside, over about `softness`."""
    return 0.5 + 0.5 * np.tanh(distance / softness)
