"""A film from the disk, or why there is none."""

from __future__ import annotations

import stat
from pathlib import Path

from PIL import Image

from cxr_distill.films.formats import read_film
from cxr_distill.films.pixels import BadPicture

MAX_BYTES = 256 << 20
"""More than twice the size of a film of 50 megapixels at 16 bits."""


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; False, not an error, for what cannot be reached: reading it says why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def open_film(file: Path) -> Image.Image:
    """The picture in a file, as `read_film` gives it. Raises BadPicture with the reason, also if it cannot be read."""
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            next(file.iterdir(), None)  # raises the reason if it cannot be listed
            raise BadPicture("is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise BadPicture("not a regular file")
        if status.st_size > MAX_BYTES:
            raise BadPicture(f"{status.st_size >> 20} MiB is too large")
        return read_film(file.read_bytes())
    except OSError as error:
        raise BadPicture((error.strerror or str(error)).lower()) from None
    except MemoryError:
        raise BadPicture("too large for this machine's memory") from None
