"""JPEG, PNG, BMP, TIFF and DICOM files as the grey picture that a viewer shows."""

from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cxr_distill.films.pixels import MAX_PIXELS, BadPicture, as_grey, check_pixels, open_picture

if TYPE_CHECKING:
    from pydicom import Dataset

# pydicom is imported where it is used: the import takes longer than screening a JPEG.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
MIN_SIDE = 32
"""Pixels; a smaller picture shows nothing."""
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_START, JPEG2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
JPEG_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
"""Markers of the frame headers of JPEG, lossless JPEG and JPEG-LS, which hold the size."""
WHITE_IS_ZERO = 262  # TIFF's tag PhotometricInterpretation


def read_film(data: bytes) -> Image.Image:
    """The picture in a file's bytes, mode L, as a viewer shows it. Raises BadPicture.

    The bytes decide the format, not the file's name. JPEG and PNG of 8 bits give the same pixels as in training.
    """
    try:
        film = _read_dicom(data) if _is_dicom(data) else _read_picture(data)
    except BadPicture as error:
        raise BadPicture(_one_line(error)) from None
    except MemoryError:
        raise BadPicture("too large for this machine's memory") from None
    except Exception as error:  # decoders raise many kinds of exceptions on damaged bytes
        raise BadPicture(f"corrupt: {_one_line(error)}") from None
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
            if image.format != "JPEG" and (count := getattr(image, "n_frames", 1)) > 1:
                raise BadPicture(f"{count} pictures in one file; save them one by one")
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
    table = _to_grey(np.arange(white + 1), *((white, 0) if inverted else (0, white)))
    return Image.fromarray(_looked_up(values, table, 0))


def _over_black(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), colours).convert("RGB")
    return image


def _to_grey(values: NDArray[Any], black: float, white: float) -> NDArray[np.uint8]:
    """`values` as grey levels, 0 at `black` to 255 at `white`, clipped."""
    if not np.isfinite(values).all():
        raise BadPicture("its pixel values are not numbers")
    share = (values - black) / ((white - black) or 1)
    return np.clip(np.rint(share * 255), 0, 255).astype(np.uint8)


def _looked_up(stored: NDArray[Any], table: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
    """`table[stored - first]`, row by row, because an index takes eight bytes per pixel."""
    grey = np.empty(stored.shape, np.uint8)
    for row, values in zip(grey, stored, strict=True):
        row[:] = table[values.astype(np.intp) - first]
    return grey


def _is_dicom(data: bytes) -> bool:
    # Old devices leave out the preamble and start with an element of group 2 or 8.
    return data[128:132] == b"DICM" or data[:2] in (b"\x02\x00", b"\x08\x00")


def _read_dicom(data: bytes) -> Image.Image:
    import pydicom
    from pydicom.encaps import get_frame
    from pydicom.pixels.processing import apply_color_lut

    dataset = pydicom.dcmread(BytesIO(_inflated(data)), force=True)
    if "PixelData" not in dataset:
        raise BadPicture("a DICOM file without a picture, or with one of floating-point numbers")
    check_pixels(int(dataset.Columns), int(dataset.Rows))
    if (frames := int(dataset.get("NumberOfFrames") or 1)) > 1:
        raise BadPicture(f"{frames} pictures in one file; save them one by one")
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        _check_codestream(get_frame(dataset.PixelData, 0, number_of_frames=1))
    try:
        stored = dataset.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        if not re.search("missing|not support", str(error)):
            raise
        name = dataset.file_meta.TransferSyntaxUID.name
        raise BadPicture(f"{name} needs more decoders: pip install pylibjpeg pylibjpeg-libjpeg") from None
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    if stored.ndim == 3:
        upper_bits = (stored >> 8 * (stored.dtype.itemsize - 1)).astype(np.uint8)
        return as_grey(Image.fromarray(upper_bits))
    return _shown(stored, dataset)


def _inflated(data: bytes) -> bytes:
    """A deflated DICOM file as a plain one. At most the size of a film is inflated, because a small file can inflate to
    more than a machine's memory."""
    start = 144 + int.from_bytes(data[140:144], "little")
    if data[128:132] != b"DICM" or DEFLATED.encode() not in data[144:start]:
        return data
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflate.decompress(data[start:], 3 * MAX_PIXELS)
    if inflate.unconsumed_tail:
        raise BadPicture("its compressed content is too large")
    # Deflated content is explicit little endian; the shorter name is padded to an even length as before.
    plain = DEFLATED.removesuffix(".99").encode()
    return data[:144] + data[144:start].replace(DEFLATED.encode(), plain.ljust(len(DEFLATED), b"\0")) + content


def _check_codestream(frame: bytes) -> None:
    """Raises BadPicture if compressed content claims more pixels than a film has. Decoders believe that claim, not the
    DICOM header, and allocate the memory."""
    if (start := frame.find(JPEG2000_START)) >= 0:
        right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
        check_pixels(right - left, bottom - top)
    at = 2
    while frame.startswith(JPEG_START) and at + 9 <= len(frame) and frame[at] == 0xFF:
        marker, length = struct.unpack_from(">xBH", frame, at)
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", frame, at + 5)
            return check_pixels(width, height)
        at += 1 if marker == 0xFF else 2 + length  # fill bytes may precede a marker


def _shown(stored: NDArray[Any], dataset: Dataset) -> Image.Image:
    """Stored values (H, W) as a viewer shows them first: DICOM PS3.3 C.7.6.3.1.2, C.11.1, C.11.2."""
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        raise BadPicture("more than 16 bits per pixel, which no X-ray film has")
    padding = dataset.get("PixelPaddingValue")
    film = np.True_ if padding is None else stored != padding
    if not np.any(film):
        raise BadPicture("nothing but padding")
    # Worked out for each value, at most 65,536, and not for each pixel.
    least, most = np.iinfo(stored.dtype).min, np.iinfo(stored.dtype).max
    darkest, brightest = int(stored.min(where=film, initial=most)), int(stored.max(where=film, initial=least))
    levels = np.arange(darkest, brightest + 1).astype(stored.dtype)
    grey = _looked_up(np.clip(stored, darkest, brightest), _levels_shown(levels, dataset), darkest)
    if padding is not None:
        grey[~film] = 0
    return Image.fromarray(grey)


def _levels_shown(levels: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    """Grey levels uint8 (N,) of `levels` (N,), which are all stored values from a film's darkest to its brightest."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi

    values = apply_modality_lut(levels, dataset).astype(np.float64)
    black, white = float(values.min()), float(values.max())
    if dataset.get("VOILUTSequence"):
        values = apply_voi(apply_modality_lut(levels, dataset), dataset).astype(np.float64)
        black, white = 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    elif (window := _window(dataset)) is not None:
        black, white = window
        if dataset.get("VOILUTFunction") == "SIGMOID":
            values = 1 / (1 + np.exp(-4 * ((values - black) / (white - black) - 0.5)))
            black, white = 0.0, 1.0
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        black, white = white, black
    return _to_grey(values, black, white)


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """The values that the first window shows as black and as white, or None without a usable window."""
    try:
        centre, width = (float(np.ravel(dataset[key].value)[0]) for key in ("WindowCenter", "WindowWidth"))
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    if dataset.get("VOILUTFunction", "LINEAR") == "LINEAR":
        centre, width = centre - 0.5, width - 1  # as the standard says for whole numbers: C.11.2.1.2.1
    if not (np.isfinite([centre, width]).all() and width > 0):
        return None
    return centre - width / 2, centre + width / 2
