"""JPEG, PNG, BMP, TIFF and DICOM files as the grey picture that a viewer shows."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from cxr_distill.films.dicom import is_dicom, read_dicom
from cxr_distill.films.grey import looked_up, to_grey
from cxr_distill.films.pixels import BadPicture, as_grey, open_picture

FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
MIN_SIDE = 32
"""Pixels; a smaller picture shows nothing."""
WHITE_IS_ZERO = 262  # TIFF's tag PhotometricInterpretation


def read_film(data: bytes) -> Image.Image:
    """The picture in a file's bytes, mode L, as a viewer shows it. Raises BadPicture.

    The bytes decide the format, not the file's name. JPEG and PNG of 8 bits give the same pixels as in training.
    """
    try:
        film = read_dicom(data) if is_dicom(data) else _read_picture(data)
    except BadPicture as error:
        raise BadPicture(_one_line(error)) from None
    except MemoryError:
        raise BadPicture("too large for this machine's memory") from None
    except Exception as error:  # decoders raise many kinds of exceptions on damaged bytes
        # A decoder may quote a DICOM header, and that names a patient.
        what = f"its header or pixels ({type(error).__name__})" if is_dicom(data) else _one_line(error)
        raise BadPicture(f"corrupt: {what}") from None
    if min(film.size) < MIN_SIDE:
        raise BadPicture(f"{film.width}x{film.height} pixels is too small to be a film")
    return film


def _one_line(error: BaseException) -> str:
    # Decoders quote bytes of the file, among them control characters for a terminal.
    text = "".join(character if character.isprintable() else " " for character in str(error))
    return " ".join(text.split())[:160] or type(error).__name__


def _read_picture(data: bytes) -> Image.Image:
    if not data:
        raise BadPicture("empty")
    try:
        with open_picture(data, formats=FORMATS) as image:
            # The second picture of a camera's JPEG (MPO) is a preview.
            if image.format not in ("JPEG", "MPO") and (count := getattr(image, "n_frames", 1)) > 1:
                raise BadPicture(f"{count} pictures in one file; save them one by one")
            if image.format != "PNG":  # browsers do not agree on an orientation there, so the page has none
                ImageOps.exif_transpose(image, in_place=True)
            return _deep(image) if image.mode in _DEEP else as_grey(_over_black(image)).copy()
    except BadPicture as error:
        if str(error).startswith("not a "):
            raise BadPicture("not a JPEG, PNG, BMP, TIFF or DICOM image") from None
        raise


_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def _deep(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.dtype.kind != "u" or values.dtype.itemsize != 2:
        raise BadPicture("more than 16 bits per pixel, which no X-ray film has")
    # Files of 16 bits often hold 12: white is the largest value with as many bits as the brightest pixel.
    white = 2 ** max(8, int(values.max()).bit_length()) - 1
    inverted = image.format == "TIFF" and image.tag_v2.get(WHITE_IS_ZERO) == 0  # type: ignore[attr-defined]
    table = to_grey(np.arange(white + 1), *((white, 0) if inverted else (0, white)))
    return Image.fromarray(looked_up(values, table, 0))


def _over_black(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), colours).convert("RGB")
    return image
