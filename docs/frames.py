"""The picture of how films are changed to see what a network reads: two synthetic chests, by the code of evaluation."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cxr_distill.data.phantom import draw_film
from cxr_distill.evaluation.figures import png
from cxr_distill.evaluation.frames import variants
from cxr_distill.films.pixels import decode

SIDE = 160
SHOWN = {
    "as it is": "film as it is",
    "reframed": "reframed: its lungs lie where\nthose of the other film lie",
    "lungs_only": "lungs only",
    "lungs_greyed": "lungs greyed out",
}


def frames_picture() -> bytes:
    """PNG: a normal film and one with pneumonia, as they are and changed."""
    films = [
        draw_film(kind, np.random.default_rng(seed))
        for kind, seed in (("IM-1.jpeg", 3), ("person1_bacteria_1.jpeg", 8))
    ]
    pixels = np.stack([decode(film.jpeg, size=SIDE).pixels for film in films])
    boxes = np.array([film.lungs for film in films], dtype=np.float32)
    changed = {name: next(draws) for name, draws in variants(pixels, boxes, np.array([0, 1], np.uint8), seed=0)}
    figure = Figure(figsize=(7, 4.1), layout="constrained")
    figure.suptitle("SYNTHETIC films, as they are and changed", fontsize=10)
    axes = figure.subplots(2, len(SHOWN))
    for row, of in enumerate(("normal", "pneumonia")):
        for column, (name, words) in enumerate(SHOWN.items()):
            one = axes[row, column]
            one.imshow({"as it is": pixels, **changed}[name][row], cmap="gray", vmin=0, vmax=255)
            one.set(xticks=[], yticks=[], title=words if row == 0 else "", ylabel=of if column == 0 else "")
            one.title.set_fontsize(8)
    with Image.open(BytesIO(png(figure))) as drawn:
        small = BytesIO()
        drawn.convert("L").quantize(32).save(small, format="PNG", optimize=True)
    return small.getvalue()
