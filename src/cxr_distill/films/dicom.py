"""A DICOM file as a viewer shows it first: which pixels it holds, and what grey level each of them gets."""

from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_distill.films.grey import looked_up, to_grey
from cxr_distill.films.pixels import MAX_PIXELS, BadPicture, as_grey, check_pixels

if TYPE_CHECKING:
    from pydicom import Dataset

# pydicom is imported where it is used: the import takes longer than screening a JPEG.
IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
JPEG_START, JPEG2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
JPEG_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
"""Markers of the frame headers of JPEG, lossless JPEG and JPEG-LS, which hold the size."""


def is_dicom(data: bytes) -> bool:
    """Whether the bytes of a file begin like DICOM."""
    # Old devices leave out the preamble and start with an element of group 2 or 8.
    return data[128:132] == b"DICM" or data[:2] in (b"\x02\x00", b"\x08\x00")


def read_dicom(data: bytes) -> Image.Image:
    """The picture of a DICOM file, mode L, as a viewer shows it first.

    Raises BadPicture where there is none, or several; on damaged bytes, whatever the decoders raise.
    """
    import pydicom
    from pydicom.encaps import get_frame
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.uid import UID

    dataset = pydicom.dcmread(BytesIO(inflated(data)), force=True)
    if "PixelData" not in dataset:
        raise BadPicture("a DICOM file without a picture, or with one of floating-point numbers")
    if "TransferSyntaxUID" not in dataset.file_meta:  # as of devices that leave out the preamble
        dataset.file_meta.TransferSyntaxUID = UID(IMPLICIT if dataset.original_encoding[0] else EXPLICIT)
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
    palette = dataset.get("PhotometricInterpretation") == "PALETTE COLOR"
    if palette:
        stored = apply_color_lut(stored, dataset)
    if stored.ndim == 3:
        bits = 8 * stored.dtype.itemsize if palette else int(dataset.BitsStored)
        upper_bits = np.minimum(stored >> max(bits - 8, 0), 255).astype(np.uint8)
        return as_grey(Image.fromarray(upper_bits))
    return _shown(stored, dataset)


def inflated(data: bytes) -> bytes:
    """A deflated DICOM file as a plain one. At most the size of a film is inflated, because a small file can inflate to
    more than a machine's memory."""
    if DEFLATED.encode() not in data:
        return data
    start = 144 + int.from_bytes(data[140:144], "little")
    if data[128:132] != b"DICM" or DEFLATED.encode() not in data[144:start]:
        raise BadPicture("corrupt: its header does not say where its compressed content begins")
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
    grey = looked_up(np.clip(stored, darkest, brightest), _levels_shown(levels, dataset), darkest)
    if padding is not None:
        grey[~film] = 0
    return Image.fromarray(grey)


def _levels_shown(levels: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    """Grey levels uint8 (N,) of `levels` (N,), which are all stored values from a film's darkest to its brightest."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi

    # Of 64 bits: pydicom calculates a table's index in the type of the values, which overflows.
    modality = apply_modality_lut(levels.astype(np.int64), dataset)
    values = modality.astype(np.float64)
    black, white = float(values.min()), float(values.max())
    if dataset.get("VOILUTSequence"):
        table = dataset.VOILUTSequence[0]
        entries, first, depth = (int(number) for number in table.LUTDescriptor)
        entries = entries or 65536
        # Whole numbers, because pydicom warns about others; clipped, because it calculates the index in 16 bits.
        modality = np.floor(modality).astype(np.int64).clip(first, first + entries - 1)
        black, white = 0.0, 2.0**depth - 1
        if depth == 8:
            table.LUTDescriptor[2] = 16  # pydicom takes the index of a table of 8 bits modulo 256
            if table["LUTData"].VR == "OW" and len(table.LUTData) < 2 * entries:  # two entries share a word
                table.add_new("LUTData", "US", list(table.LUTData))
        values = apply_voi(modality, dataset).astype(np.float64)
    elif (window := _window(dataset)) is not None:
        black, white = window
        if dataset.get("VOILUTFunction") == "SIGMOID":
            values = 1 / (1 + np.exp(-4 * ((values - black) / (white - black) - 0.5)))
            black, white = 0.0, 1.0
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        black, white = white, black
    return to_grey(values, black, white)


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
