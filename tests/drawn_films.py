"""Drawn chests in every container that a hospital, a phone or an attacker may hand over."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from cxr_distill.data.phantom import draw_film
from cxr_distill.films.pixels import squash


def chest(seed: int = 0) -> np.ndarray:
    """Grey levels of a drawn chest, uint8, from 0 to 255."""
    grey = np.asarray(Image.open(BytesIO(draw_film("IM-1.jpeg", np.random.default_rng(seed)).jpeg)).convert("L"), float)
    return ((grey - grey.min()) / np.ptp(grey) * 255).round().astype(np.uint8)


def shrunk(grey: np.ndarray, size: int = 32) -> np.ndarray:
    """A film as a network of this image size takes it."""
    return squash(Image.fromarray(grey), size=size)


def saved(picture: np.ndarray | Image.Image, format: str, **options: Any) -> bytes:
    """The bytes of an image file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def dicom(stored: np.ndarray, *, syntax: str = ExplicitVRLittleEndian, frames: bytes = b"", **elements: Any) -> bytes:
    """A DICOM file of `stored` values (H, W), uint8 or (u)int16; `frames`, if given, is its compressed content."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = stored.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = encapsulate([frames]) if frames else stored.tobytes() + b"\0" * (stored.nbytes % 2)
    dataset["PixelData"].VR = "OB" if frames or stored.dtype.itemsize == 1 else "OW"
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def run_length(stored: np.ndarray) -> bytes:
    """The same, compressed as DICOM's own RLE."""
    dataset = pydicom.dcmread(BytesIO(dicom(stored)))
    dataset.compress(RLELossless)
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def nan_dicom(shape: tuple[int, int]) -> bytes:
    """A DICOM file of floating-point pixels, one of which is no number."""
    values = np.ones(shape, np.float32)
    values[3, 3] = np.nan
    return dicom(np.zeros(shape, np.uint8), PixelData=None, BitsAllocated=32, FloatPixelData=values.tobytes())


def containers(grey: np.ndarray) -> dict[str, bytes]:
    """The same picture in each container that keeps every grey level, or all but the last bit."""
    deep = grey.astype(np.uint16) * 257
    twelve = (grey.astype(np.float64) * 4095 / 255).round().astype(np.uint16)
    of_twelve = {"BitsStored": 12, "HighBit": 11}
    return {
        "a.png": saved(grey, "PNG"),
        "colour.png": saved(Image.fromarray(grey).convert("RGB"), "PNG"),
        "palette.png": saved(Image.fromarray(grey).convert("P"), "PNG"),
        "opaque.png": saved(Image.fromarray(grey).convert("RGBA"), "PNG"),
        "sixteen.png": saved(deep, "PNG"),
        "twelve.png": saved(twelve, "PNG"),
        "a.bmp": saved(grey, "BMP"),
        "a.tiff": saved(grey, "TIFF"),
        "lzw.tiff": saved(grey, "TIFF", compression="tiff_lzw"),
        "sixteen.tiff": saved(deep, "TIFF"),
        "white_is_zero.tiff": white_is_zero(255 - grey),
        "deep_white_is_zero.tiff": white_is_zero(65535 - deep),
        "no_extension": dicom(grey),
        "deep.dcm": dicom(deep),
        "negative.dcm": dicom(255 - grey, PhotometricInterpretation="MONOCHROME1"),
        "window.dcm": dicom(twelve, WindowCenter=2048, WindowWidth=4096, **of_twelve),
        "rescaled.dcm": dicom(twelve, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=[3096, 9],
                              WindowWidth=[8191, 9], **of_twelve),
        "signed.dcm": dicom(twelve.astype(np.int16) - 2048, WindowCenter=0, WindowWidth=4096, **of_twelve),
        "run_length.dcm": run_length(grey),
        "deflated.dcm": dicom(grey, syntax=DeflatedExplicitVRLittleEndian),
        "jpeg2000.dcm": dicom(grey, syntax=JPEG2000Lossless,
                              frames=saved(grey, "JPEG2000", irreversible=False, no_jp2=True)),
    }  # fmt: skip


def white_is_zero(stored: np.ndarray) -> bytes:
    """A TIFF file in which 0 is white, written by hand: Pillow writes none of 16 bits."""
    bits = stored.dtype.itemsize * 8
    tags = [(256, 4, stored.shape[1]), (257, 4, stored.shape[0]), (258, 3, bits), (259, 3, 1), (262, 3, 0),
            (273, 4, 8), (277, 3, 1), (278, 4, stored.shape[0]), (279, 4, stored.nbytes)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + stored.nbytes)
    return head + stored.tobytes() + struct.pack("<H", len(tags)) + entries + bytes(4)


def jpeg_dicom(grey: np.ndarray) -> tuple[bytes, bytes]:
    """A JPEG and the DICOM file that holds it."""
    jpeg = saved(grey, "JPEG", quality=90)
    return jpeg, dicom(grey, syntax=JPEGBaseline8Bit, frames=jpeg)


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header promises this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


def deflate_bomb() -> bytes:
    """A small DICOM file that inflates to 200 million bytes."""
    plain = dicom(np.zeros((40, 40), np.uint8), syntax=DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(plain[140:144], "little")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    return plain[:start] + b"".join(squeeze.compress(zeros) for _ in range(200)) + squeeze.flush()


def hostile(grey: np.ndarray) -> dict[str, bytes]:
    """Files that cannot be screened, by what is wrong with them."""
    jpeg, in_dicom = jpeg_dicom(grey)
    frames = [Image.fromarray(grey), Image.fromarray(255 - grey)]
    return {
        "truncated.jpeg": jpeg[: len(jpeg) // 2],
        "truncated.png": saved(grey, "PNG")[:900],
        "truncated.dcm": dicom(grey)[:-5000],
        "truncated_jpeg.dcm": in_dicom[:-2000],
        "zero_bytes.jpeg": b"",
        "zeros.dcm": bytes(5000),
        "text.png": b"not a picture\n" * 20,
        "huge.png": png_header(40_000, 40_000),
        "huge.dcm": dicom(grey, Rows=40_000, Columns=40_000),
        "huge_inside.dcm": dicom(grey, syntax=JPEG2000Lossless, frames=saved(grey, "JPEG2000", no_jp2=True).replace(
            struct.pack(">II", grey.shape[1], grey.shape[0]), struct.pack(">II", 40_000, 40_000), 1)),
        "bomb.dcm": deflate_bomb(),
        "bomb_without_length.dcm": deflate_bomb()[:140] + bytes(4) + deflate_bomb()[144:],
        "animated.png": saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "animated.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "pages.tiff": saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "film.dcm": dicom(np.stack([grey, grey])[:, :, 0], NumberOfFrames=2),
        "not_a_number.dcm": nan_dicom(grey.shape),
        "not_a_slope.dcm": dicom(grey, RescaleSlope="NaN", RescaleIntercept="0"),
        "no_picture.dcm": dicom(grey, PixelData=None),
        "one_pixel.png": saved(grey[:1, :1], "PNG"),
    }  # fmt: skip


def film_like() -> np.ndarray:
    """Two drawn chests over each other, brightened: the released model takes it for a film, unlike most drawn ones."""
    both = (shrunk(chest(58), 96).astype(float) + shrunk(chest(353), 96)) / 510
    return (255 * both**0.4).round().astype(np.uint8)
