"""Originals beside their small copies: where they come from, and P(pneumonia) of each way to make them square."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from tqdm import tqdm

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.data.archive import list_images, open_archive, read_entry
from cxr_distill.films.pixels import BadPicture, as_grey, open_picture, squash
from cxr_distill.nets.common.logits import predict_logits

Copies = Mapping[str, NDArray[Any]]
"""Split -> grey uint8 images (N, S, S) in the order of the index."""


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


def unchanged(film: Image.Image) -> Image.Image:
    """The film, for `pixels.squash` to make square."""
    return film


FRAMINGS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "squash": unchanged,
    "crop": cropped,
    "letterbox": letterboxed,
}
"""What is done to a film before `pixels.squash`."""


def films_of(index: pd.DataFrame, archive: Path, originals: Path | None) -> pd.DataFrame:
    """Rows of `index` of which originals are at hand, with their bytes in column `data`.

    From the zip `originals`; without one from `archive` itself, its test images, if these have sizes of their own.
    Raises CxrError if they are all of one size, or if a file cannot be read.
    """
    if originals is None and len(index[["width", "height"]].drop_duplicates()) == 1:
        raise CxrError(
            "all images of the archive have one size, so that they are no originals; "
            "set CXR_ORIGINALS=/path/to/originals.zip (the same file names at their original size)"
        )
    used = index[index["split"] == "test"] if originals is None else index[index["split"] != "duplicate"]
    with open_archive(originals or archive) as zipped:
        entries = {entry.file: entry for entry in list_images(zipped, {})}
        rows = used[used["file"].isin(entries)].copy()
        try:
            rows["data"] = [read_entry(zipped, entries[file]) for file in rows["file"]]
        except ValueError as error:
            raise CxrError(f"{originals or archive}: {error}") from error
    if rows.empty:
        raise CxrError(f"{originals or archive} holds no image of the archive that the models were trained on")
    return rows


def squared(films: pd.DataFrame, index: pd.DataFrame, copies: Copies) -> dict[str, NDArray[Any]]:
    """Grey uint8 images (N, S, S) of `films` by framing; `copy` is what training had of them. May raise CxrError."""
    position = index.groupby("split").cumcount()
    result = {"copy": np.stack([copies[films.at[row, "split"]][position[row]] for row in films.index])}
    size = result["copy"].shape[-1]
    with ThreadPoolExecutor() as pool:
        for name, framing in FRAMINGS.items():

            def one(data: bytes, framing: Any = framing) -> NDArray[Any]:
                with open_picture(data, formats=("JPEG", "PNG")) as image:
                    return squash(framing(as_grey(image)), size=size)

            try:
                found = list(tqdm(pool.map(one, films["data"]), total=len(films), desc=name, unit="image"))
            except BadPicture as error:
                raise CxrError(f"an original cannot be decoded: {error}") from error
            result[name] = np.stack(found)
    return result


def compare_framings(
    films: pd.DataFrame, images: Mapping[str, NDArray[Any]], nets: Mapping[str, nn.Module]
) -> pd.DataFrame:
    """One row per film and framing: file, split, patient, label, framing, and P(pneumonia) by each network."""
    parts = []
    for framing, pixels in images.items():
        part = films[["file", "split", "patient", "label"]].assign(framing=framing)
        for name, net in nets.items():
            part[name] = p_pneumonia(predict_logits(net, pixels))
        parts.append(part)
    return pd.concat(parts)
