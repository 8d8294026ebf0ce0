"""From files to verdicts: two threads decode, the model answers in batches, and every file gets one verdict."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_distill.base.errors import CxrError
from cxr_distill.films.files import is_folder, open_film
from cxr_distill.films.pixels import BadPicture, squash
from cxr_distill.screen.heatmap import overlay, small_copy
from cxr_distill.screen.session import Model
from cxr_distill.screen.site_file import SiteFile

BATCH = 8
WORKERS = 2
UNLIKE_FILMS = "a film unlike those that the model learned from"
"""How the reason begins for a film of another kind. Any other rejected picture is no upright chest film."""


@dataclass(frozen=True)
class Verdict:
    """The result for one file. Without a probability, the film was rejected or the file could not be read."""

    file: str
    p_pneumonia: float | None = None
    p_calibrated: float | None = None
    decision: str | None = None  # pneumonia or normal
    rejected: bool = False
    reason: str | None = None

    @property
    def unreadable(self) -> bool:
        """Whether the file gave no usable picture."""
        return self.p_pneumonia is None and not self.rejected


class _Film(NamedTuple):
    pixels: NDArray[np.uint8]  # (S, S)
    picture: Image.Image | None  # for the overlay


def find_files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files in `paths`, in order: files as they are, folders with all files below them except hidden ones.

    A folder that cannot be listed is yielded itself, to be reported as unreadable. So is a link to a folder, since
    links may form a circle.
    """
    for path in paths:
        if not is_folder(path):
            yield path
            continue
        failed: list[OSError] = []
        for folder, folders, names in os.walk(path, onerror=failed.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            links = [name for name in folders if Path(folder, name).is_symlink()]
            yield from (Path(folder, name) for name in sorted(names + links) if not name.startswith("."))
        yield from (Path(error.filename) for error in failed)


def screen_files(
    files: Sequence[Path],
    model: Model,
    *,
    reject: bool = True,
    heatmaps: Path | None = None,
    site: SiteFile | None = None,
) -> Iterator[Verdict]:
    """A verdict for each of `files`, in order; overlays go into the folder `heatmaps`.

    Decisions and calibrated probabilities are those of the operating point `site`, or without one the model's own.
    Without `reject`, a picture that is not like a chest X-ray gets a probability too, and its verdict has the reason.
    """
    names = _overlay_names(files) if heatmaps else []
    if heatmaps:
        films = {os.path.realpath(file) for file in files}
        if own := [name for name in names if os.path.realpath(heatmaps / name) in films]:
            raise CxrError(f"{heatmaps / own[0]} is a film; write the heat maps to another folder")
    remaining = enumerate(files)
    running: deque[list[tuple[int, Future[_Film | str]]]] = deque()
    pool = ThreadPoolExecutor(WORKERS)
    try:
        # Two batches run at a time: one is decoded while the model answers the other.
        while True:
            batch = list(islice(remaining, BATCH))
            if batch:
                running.append(
                    [(n, pool.submit(_read, f, model.facts.image_size, heatmaps is not None)) for n, f in batch]
                )
            elif not running:
                return
            if len(running) == 2 or not batch:
                for number, verdict, picture in _judge(running.popleft(), files, model, reject, site):
                    if heatmaps and picture:
                        picture.save(heatmaps / names[number], "PNG")
                    yield verdict
    finally:
        pool.shutdown(cancel_futures=True)


def _read(file: Path, size: int, keep: bool) -> _Film | str:
    try:
        if is_folder(file) and file.is_symlink():
            return "a link to a folder; to search it, give this path on the command line"
        film = open_film(file)
        return _Film(squash(film, size=size), small_copy(film) if keep else None)
    except BadPicture as error:
        return str(error)
    except MemoryError:
        return "too large for this machine's memory"


def _judge(
    batch: list[tuple[int, Future[_Film | str]]],
    files: Sequence[Path],
    model: Model,
    reject: bool,
    site: SiteFile | None,
) -> Iterator[tuple[int, Verdict, Image.Image | None]]:
    read = [(number, future.result()) for number, future in batch]
    films = [film for _, film in read if isinstance(film, _Film)]
    rows: Iterator[Any] = iter(())
    if films:
        rows = zip(*model(np.stack([film.pixels for film in films])), strict=True)
    for number, film in read:
        file = str(files[number])
        if isinstance(film, str):
            yield number, Verdict(file, reason=film), None
            continue
        p_pneumonia, _, p_calibrated, activation, typicality = next(rows)
        reason = None if typicality >= model.facts.typicality_threshold else _why(film.pixels, typicality, model)
        if reason and reject:
            yield number, Verdict(file, rejected=True, reason=reason), None
            continue
        p, calibrated, threshold = _exact(p_pneumonia), _exact(p_calibrated), model.facts.threshold
        if site:
            calibrated, threshold = _exact(np.float32(site.calibration(p))), site.threshold
        verdict = Verdict(file, p, calibrated, "pneumonia" if p >= threshold else "normal", reason=reason)
        yield number, verdict, overlay(film.picture, activation) if film.picture else None


def _why(pixels: NDArray[np.uint8], typicality: float, model: Model) -> str:
    """Why a picture is rejected: turned, upside down, a negative, no chest film, or one of another kind.

    The out-of-distribution score that the reason names is minus the graph's typicality.
    """
    remedies = {
        "not upright: turn it left by 90 degrees": np.rot90(pixels),
        "not upright: turn it right by 90 degrees": np.rot90(pixels, -1),
        "upside down": np.rot90(pixels, 2),
        "a negative: black and white are swapped": 255 - pixels,
    }
    scores = model(np.stack(list(remedies.values()))).typicality
    if scores.max() >= model.facts.typicality_threshold:
        return list(remedies)[int(scores.argmax())]
    film = typicality >= model.facts.chest_threshold
    what = UNLIKE_FILMS if film else "not like a frontal chest X-ray"
    limit = model.facts.typicality_threshold if film else model.facts.chest_threshold
    return f"{what}: out-of-distribution score {0 - typicality:.2f} is above {0 - limit:.2f}"


def _exact(value: np.float32) -> float:
    """The shortest decimal number that rounds to `value` in fp32."""
    return float(str(value))


def _overlay_names(files: Sequence[Path]) -> list[str]:
    """A name for the overlay of each file; no two are the same, also where upper and lower case are."""
    names: list[str] = []
    taken: set[str] = set()
    tried: Counter[str] = Counter()
    for file in files:
        stem = file.name.encode("ascii", "replace").decode().replace("?", "_")[:200]  # a name has 255 bytes
        name = ""
        while not name or name.lower() in taken:  # `scan.2` may be a file's own name, or that of a second `scan`
            tried[stem.lower()] += 1
            name = f"{stem}.png" if tried[stem.lower()] == 1 else f"{stem}.{tried[stem.lower()]}.png"
        taken.add(name.lower())
        names.append(name)
    return names
