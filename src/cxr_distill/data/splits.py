"""From the archive to grey tensors, a patient-wise validation split, and an index of every image."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.base.labels import TWO_CLASSES, UNKNOWN_CAUSE, class_names
from cxr_distill.data.archive import MANIFEST, convert_images, list_images, open_archive, read_about
from cxr_distill.data.preprocess_params import PreprocessParams
from cxr_distill.data.source import SplitCounts
from cxr_distill.films.pixels import decode

FEWEST_FOR_CAUSES = 50
"""Patients with bacterial and with viral pneumonia; with fewer of either, their difference is not learned."""
FEWEST_PATIENTS = 3
"""Of each class, in training, validation and test: with fewer, nothing can be learned or said."""
CLOSE = 0.01
"""By how much the share of the films in validation may miss the fraction that was asked for, before chance does."""
COLUMNS = ["file", "label", "subtype", "patient", "split", "width", "height", "mode", "sha256"]


def read_archive(
    path: Path, params: PreprocessParams, expected: SplitCounts
) -> tuple[pd.DataFrame, NDArray[Any], dict[str, Any]]:
    """Index (COLUMNS), grey uint8 pixels (N, S, S) in its order, and the summary for data/dataset.json.

    Raises CxrError naming every file that is corrupt, empty, no image, too large, or has a copy of another class, and
    if a split has too few patients of a class.
    """
    with open_archive(path) as archive:
        entries = list_images(archive, expected.model_dump())
        packed = MANIFEST in archive.namelist()
        about = read_about(archive)
    decoded = convert_images(
        path, entries, lambda data, _: decode(data, size=params.image_size), desc="decode and resize"
    )
    index = pd.DataFrame(
        {
            "file": [entry.file for entry in entries],
            "label": [entry.label for entry in entries],
            "subtype": [entry.subtype for entry in entries],
            "patient": [entry.patient for entry in entries],
            "split": [entry.folder for entry in entries],
            "width": [image.width for image in decoded],
            "height": [image.height for image in decoded],
            "mode": [image.mode for image in decoded],
            "sha256": [image.sha256 for image in decoded],
        }
    )
    coarse = pd.Series([entry.coarse for entry in entries])
    if packed:
        index["subtype"] = known_causes(index)
    if not (packed and (index["split"] == "val").any()):  # else they are as its user gave them
        index["split"] = assign_splits(index, coarse, fraction=params.validation_fraction, seed=params.seed)
    check_patients(index, least=FEWEST_PATIENTS if packed else 1)
    pixels = np.stack([image.pixels for image in decoded])
    summary = summarise(index, path, params.image_size)
    return index[COLUMNS], pixels, {**summary, "packed": {"about": about}} if packed else summary


def known_causes(index: pd.DataFrame) -> pd.Series[Any]:
    """The subtype of each row; `pneumonia` for all with pneumonia if one has no cause, or few patients have a cause."""
    subtypes = index["subtype"]
    sick = subtypes != TWO_CLASSES[0]
    patients = index[sick].groupby("subtype")["patient"].nunique()
    if UNKNOWN_CAUSE not in patients and len(patients) > 1 and patients.min() >= FEWEST_FOR_CAUSES:
        return subtypes
    print("Two classes, normal and pneumonia: not every pneumonia has a subtype, or too few patients have one of them.")
    return subtypes.mask(sick, UNKNOWN_CAUSE)


def check_patients(index: pd.DataFrame, *, least: int) -> None:
    """Raises CxrError if training, validation or test has fewer than `least` patients of a class."""
    few = [
        f"{split} has {count} of {name}"
        for split in ("train", "val", "test")
        for name in class_names(index["subtype"])
        if (count := index[(index["split"] == split) & (index["subtype"] == name)]["patient"].nunique()) < least
    ]
    if few:
        causes = least > 1 and len(class_names(index["subtype"])) > len(TWO_CLASSES)
        remedy = ", or leave out the column subtype" if causes else ""
        raise CxrError(f"too few patients (at least {least} of each class): {'; '.join(few)}; add films{remedy}")


def assign_splits(index: pd.DataFrame, coarse: pd.Series[Any], *, fraction: float, seed: int) -> pd.Series[Any]:
    """The split of each row of `index`: test as published; train, val by coarse patient key; or duplicate.

    fraction: the share of the films in train and val that goes to val, stratified by subtype. A train or val image is a
    duplicate if an earlier one, or a test image, has the same pixels.
    Raises CxrError if identical images carry different labels, or if there are too few patients to split.
    """
    subtypes = index.groupby("sha256")["subtype"].nunique()
    conflicting = index[index["sha256"].isin(subtypes[subtypes > 1].index)]
    if len(conflicting):
        raise CxrError(f"identical images with different labels: {'; '.join(map(repr, conflicting['file']))}")
    is_test = index["split"] == "test"
    repeated = index[~is_test].duplicated("sha256") | index[~is_test]["sha256"].isin(index[is_test]["sha256"])
    pool = index[~is_test][~repeated]
    patients = coarse[pool.index]
    try:
        held, count = _folds(fraction, most=int(patients.groupby(pool["subtype"]).nunique().min()))
        folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        parts = folds.split(pool, pool["subtype"].map(class_names(pool["subtype"]).index), patients)
        held_out = np.concatenate([part for _, part in islice(parts, held)])
    except ValueError as error:
        raise CxrError(f"cannot split train and validation by patient: {error}") from error
    splits = pd.Series("train", index=index.index)
    splits[is_test] = "test"
    splits[repeated[repeated].index] = "duplicate"
    splits[pool.index[held_out]] = "val"
    return splits


def _folds(fraction: float, *, most: int) -> tuple[int, int]:
    """How many of how many folds hold about `fraction` of the films: one, or several of at most `most` where one fold
    would miss the fraction by more than CLOSE."""
    one = (1, max(2, round(1 / fraction)))
    several = [(max(1, round(fraction * count)), count) for count in range(2, most + 1)]

    def missed(folds: tuple[int, int]) -> float:
        return abs(folds[0] / folds[1] - fraction)

    return next((folds for folds in [one, *several] if missed(folds) <= CLOSE), min([one, *several], key=missed))


def summarise(index: pd.DataFrame, archive: Path, image_size: int) -> dict[str, Any]:
    """What data/dataset.json shows: which archive this was, and what came out of it."""

    def spread(values: pd.Series[Any]) -> dict[str, int]:
        return {"min": int(values.min()), "median": int(values.median()), "max": int(values.max())}

    names = class_names(index["subtype"])
    folders = index["file"].str.split("/", n=2, expand=True)
    splits = {
        split: {
            "images": len(rows),
            "patients": int(rows["patient"].nunique()),
            **{name: int((rows["subtype"] == name).sum()) for name in names},
        }
        for split in ("train", "val", "test")
        for rows in [index[index["split"] == split]]
    }
    return {
        "archive_sha256": file_sha256(archive),
        "archive_bytes": archive.stat().st_size,
        "images": len(index),
        "folders": {f"{f}/{c}": int(n) for (f, c), n in folders.groupby([0, 1]).size().items()},
        "splits": splits,
        "duplicates_kept_out": int((index["split"] == "duplicate").sum()),
        "width": spread(index["width"]),
        "height": spread(index["height"]),
        "modes": {str(mode): int(n) for mode, n in index["mode"].value_counts().sort_index().items()},
        "image_size": image_size,
    }
