"""Originals beside their small copies: where they come from, and P(pneumonia) of both."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.data.archive import list_images, open_archive, read_entry
from cxr_distill.films.pixels import BadPicture, as_grey, open_picture, squash
from cxr_distill.nets.common.logits import predict_logits


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


def originals_and_copies(
    films: pd.DataFrame, index: pd.DataFrame, copies: Mapping[str, NDArray[np.uint8]]
) -> dict[str, NDArray[np.uint8]]:
    """Grey images (N, S, S) of `films`: `original`, and `copy`, what training had of them.

    copies: split -> images in the order of the index. Raises CxrError if an original cannot be decoded.
    """
    position = index.groupby("split").cumcount()
    small = np.stack([copies[films.at[row, "split"]][position[row]] for row in films.index])

    def square(data: bytes) -> NDArray[Any]:
        with open_picture(data, formats=("JPEG", "PNG")) as image:
            return squash(as_grey(image), size=small.shape[-1])

    with ThreadPoolExecutor() as pool:
        try:
            found = list(tqdm(pool.map(square, films["data"]), total=len(films), desc="originals", unit="image"))
        except BadPicture as error:
            raise CxrError(f"an original cannot be decoded: {error}") from error
    return {"original": np.stack(found), "copy": small}


def originals_table(
    films: pd.DataFrame, images: Mapping[str, NDArray[np.uint8]], nets: Mapping[str, nn.Module]
) -> pd.DataFrame:
    """Columns file, split, patient, label, and P(pneumonia) by each network of each of `images`, NETWORK_IMAGE."""
    table = films[["file", "split", "patient", "label"]].copy()
    for kind, pixels in images.items():
        for name, net in nets.items():
            table[f"{name}_{kind}"] = p_pneumonia(predict_logits(net, pixels))
    return table
